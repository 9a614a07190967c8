"""`tracking=mlflow` on a real database: what is logged, once, whatever was killed before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")

from stages.config import config_from  # noqa: E402
from tests.line import Line, frames_line, wait_for  # noqa: E402

TRAININGS = {"teachers/vlad", "teachers/plain", "students/vlad", "students/plain"}
PARENT = "mlflow.parentRunId"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Two members on frames, not tracked. Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


class Logged:
    """What there is in a database."""

    def __init__(self, path: Path) -> None:
        self.client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}")
        experiment = self.client.get_experiment_by_name("onegig")
        self.runs = self.client.search_runs([experiment.experiment_id])

    @property
    def parents(self) -> list[Any]:
        return [run for run in self.runs if PARENT not in run.data.tags]

    @property
    def trainings(self) -> dict[str, Any]:
        """By name, each of which there is once."""
        found = [run for run in self.runs if PARENT in run.data.tags]
        assert len({run.info.run_name for run in found}) == len(found)
        return {run.info.run_name: run for run in found}

    def history(self, run: Any, metric: str) -> list[tuple[int, float]]:
        return [
            (own.step, own.value) for own in self.client.get_metric_history(run.info.run_id, metric)
        ]


def lines_of(folder: Path) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())


def check_trainings(line: Line, logged: Logged, parent: Any) -> None:
    """Each once, within its run, with every figure of its metrics.jsonl once and in order."""
    assert logged.trainings.keys() == TRAININGS
    for name, run in logged.trainings.items():
        lines = list(lines_of(line.run / name))
        losses = [(own["step"], own["loss"]) for own in lines if "loss" in own]
        scores = [(own["step"], own["search"]["gap"]) for own in lines if "search" in own]
        assert logged.history(run, "loss") == losses
        assert logged.history(run, "search/gap") == scores
        assert run.data.tags[PARENT] == parent.info.run_id and run.info.status == "FINISHED"
        summary = json.loads((line.run / name / "DONE").read_text())["summary"]
        gap = summary[f"gap_report_{summary['kept']}"]
        assert run.data.metrics["final/report/gap"] == gap
        assert run.data.metrics["final/report/gap_error"] == summary["gap_error_report"]
        assert run.data.params["family"] == summary["family"]
        assert run.data.params["train.batch_size"] == "8"


def test_a_run_its_trainings_scores_and_files(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    before = line.done()
    outcome = line.call("stage=all", "tracking=mlflow")
    assert outcome.status == 0, outcome.err
    assert "alembic" not in outcome.err and "mlflow" not in outcome.err
    # No key depends on it: nothing was made again.
    assert line.done() == before
    assert line.bundle.read_bytes() == finished.bundle.read_bytes()
    logged = Logged(line.run / "mlflow.db")
    (parent,) = logged.parents
    check_trainings(line, logged, parent)
    assert (parent.info.run_name, parent.info.status) == ("smoke", "FINISHED")
    receipt = json.loads(line.receipt.read_text())
    metrics = parent.data.metrics
    for score in ("gap", "map", "map_at_10"):
        assert metrics[f"report/{score}"] == receipt[score]
        assert metrics[f"report/{score}_error"] == receipt[f"{score}_error"]
    assert metrics["search/gap"] == receipt["search_gap"]
    assert metrics["bytes"] == receipt["bytes"]
    assert parent.data.params["members.vlad.config.clusters"] == "4"
    assert parent.data.params["budget"] == "2MB"
    files = {own.path: own for own in logged.client.list_artifacts(parent.info.run_id)}
    assert files.keys() == {"receipt.json", "README.md", "curve.png", "report.html"}
    kept = Path(parent.info.artifact_uri.removeprefix("file://"), "receipt.json")
    assert kept.read_bytes() == line.receipt.read_bytes()
    assert kept.is_relative_to(line.run / "mlruns")

    # Once more, and with keys that change no result: nothing is logged twice.
    assert line.call("stage=all", "tracking=mlflow", "jobs=1").status == 0
    again = Logged(line.run / "mlflow.db")
    assert {own.info.run_id for own in again.runs} == {own.info.run_id for own in logged.runs}
    check_trainings(line, again, parent)
    assert len(again.history(parent, "report/gap")) == 1

    # Of another configuration it is another run, with what is its own.
    assert line.call("stage=pack", "tracking=mlflow", "budget=10kB").status == 0
    smaller = Logged(line.run / "mlflow.db")
    (other,) = (own for own in smaller.parents if own.info.run_id != parent.info.run_id)
    assert other.data.metrics["bytes"] < 10_000 and other.data.params["budget"] == "10kB"
    assert smaller.trainings.keys() == TRAININGS


def test_a_kill_while_it_logs(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    database = line.run / "mlflow.db"
    with line.start("stage=all", "tracking=mlflow") as process:

        def begun() -> bool:
            with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:
                return connection.execute("select count(*) from runs").fetchone()[0] > 1
            return False

        assert wait_for(lambda: database.exists() and begun(), process)
        process.kill()
    half = Logged(database)
    # As a kill between two requests would leave it, whichever it was that was met.
    run = next(iter(half.trainings.values()))
    half.client.update_run(run.info.run_id, "RUNNING")
    assert line.call("stage=all", "tracking=mlflow").status == 0
    logged = Logged(database)
    (parent,) = logged.parents
    assert parent.info.status == "FINISHED"
    check_trainings(line, logged, parent)


def test_a_store_that_fails_on_the_way_costs_no_result(
    finished: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = finished.copy(tmp_path)
    database = tmp_path / "shared.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    assert line.call("stage=plan", "tracking=mlflow").status == 0
    assert not (line.run / "mlflow.db").exists()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("drop table metrics")
    outcome = line.call("stage=pack", "tracking=mlflow", "budget=10kB")
    assert outcome.status == 0 and line.bundle.stat().st_size < 10_000
    (said,) = (row for row in outcome.err.splitlines() if row.startswith("tracking: "))
    assert "metrics" in said and "the run goes on without" in said


def test_what_cannot_be_tracked_is_refused_first(finished: Line, tmp_path: Path) -> None:
    line = finished.fresh(tmp_path)
    for change, named in (
        ("tracking=wandb", ["wandb", "mlflow"]),
        ("tracking.uri=https://me:secret@host/", ["uri: ", "MLFLOW_TRACKING_PASSWORD"]),
        ("tracking.uri=https://token@host/", ["uri: ", "MLFLOW_TRACKING_URI"]),
        ("tracking.uri=nope://host", ["tracking.uri", "nope://host"]),
    ):
        refusal = line.call("stage=teachers", "tracking=mlflow", change).refusal()
        assert all(word in refusal for word in named), refusal
        assert "secret" not in refusal and "token@" not in refusal
    assert not (line.run / "teachers").exists()


def test_a_database_of_many_has_a_user() -> None:
    uri = "postgresql://me@host/runs"
    assert config_from({"tracking": {"uri": uri}}).tracking.uri == uri
