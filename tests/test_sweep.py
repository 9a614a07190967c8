"""Hydra's `--multirun`: each job has a run of its own, and its score is what the sweeper gets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback

from orchestrate import run_of_job
from stages.stage import STAGES, Stage
from tests.line import Line, Outcome, call, means_line


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """One perceptron. Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


class Recorder(Callback):
    """Notes what a sweeper is given of each job."""

    values: ClassVar[list[Any]] = []

    def on_job_end(self, config: Any, job_return: JobReturn, **_: Any) -> None:
        self.values.append(job_return.return_value)


@pytest.fixture
def returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The results of jobs that are started by `sweep`, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Recorder, "values", [])
    return Recorder.values


def sweep(line: Line, *overrides: str) -> Outcome:
    recorder = f"+hydra.callbacks.recorder._target_={__name__}.{Recorder.__name__}"
    return call("-m", recorder, *line.overrides(*overrides))


def test_every_job_has_its_run_and_returns_its_score(
    finished: Line, tmp_path: Path, returned: list[Any]
) -> None:
    line = finished.fresh(tmp_path)
    outcome = sweep(line, "stage=teachers", "train.epochs=1,2")
    assert outcome.status == 0, outcome.err
    scores = []
    for epochs in (1, 2):
        name = f"smoke+train.epochs-{epochs}"
        assert f"run {name}\n" in outcome.out
        teacher = line.outputs / name / "teachers" / "plain"
        assert (
            json.loads((teacher / "task.json").read_text())["inputs"]["train"]["epochs"] == epochs
        )
        summary = json.loads((teacher / "DONE").read_text())["summary"]
        scores.append(summary[f"gap_search_{summary['kept']}"])
    assert returned == scores and all(type(score) is float for score in scores)
    # As a person would name it.
    assert line.call("stage=teachers", f"run={name}", "train.epochs=2").status == 0


@pytest.mark.parametrize("stage", ["ensemble", "pack", "all", "evaluate", "plan", "predict"])
def test_stages_return_what_they_score(
    finished: Line, tmp_path: Path, returned: list[Any], stage: str
) -> None:
    line = finished.copy(tmp_path)
    outcome = sweep(line, f"stage={stage}", "run=smoke,smoke")
    assert outcome.status == 0, outcome.err
    search = json.loads(line.receipt.read_text())["search_gap"]
    if stage in ("plan", "predict"):
        assert returned == [None, None]
    elif stage == "evaluate":
        assert returned[0] == pytest.approx(json.loads(line.receipt.read_text())["gap"])
    elif stage == "ensemble":
        assert 0 < returned[0] < 1
    else:
        assert returned == [search, search]


def test_an_error_in_a_job_is_one_line_and_the_last(
    finished: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = finished.fresh(tmp_path)
    refusal = call("-m", *line.overrides("stage=plan", "budget=1kB,1MB")).refusal()
    assert "no member fits" in refusal
    assert [path.name for path in line.outputs.iterdir()] == ["smoke+budget-1kB"]


def test_a_defect_in_a_job_keeps_its_traceback(
    finished: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(STAGES, "get", lambda name: Stage(name, "", (), run, None))
    for several in ((), ("-m",)):
        with pytest.raises(ZeroDivisionError) as defect:
            call(*several, *finished.fresh(tmp_path).overrides("stage=plan"))
        assert defect.traceback[-1].name == "run" and defect.value.__context__ is None


@pytest.mark.parametrize(
    ("overrides", "given", "name"),
    [
        (["train.epochs=2"], ["-m", "train.epochs=1,2"], "demo+train.epochs-2"),
        (["a.b=0.001", "seed=1"], ["-m", "a.b=1e-3", "seed=choice(1,2)"], "demo+seed-1"),
        (["~members.x=null", "seed=1"], ["~members.x", "-m", "seed=1,2"], "demo+seed-1"),
        # A sweeper's own.
        (["train.learning_rate=0.0123"], ["-m"], "demo+train.learning_rate-0.0123"),
        # They choose a run, or what is done with it.
        (["run=demo", "stage=plan"], ["-m", "run=demo,x", "stage=plan,pack"], "demo"),
    ],
)
def test_a_run_is_named_after_what_is_swept(
    overrides: list[str], given: list[str], name: str
) -> None:
    assert run_of_job("demo", overrides, given) == name


def test_runs_are_as_many_as_values() -> None:
    """Whatever characters these have; none of them leads to another folder."""
    values = ["/a b/c", "/a/b/c", "../a", "..%2fa", "a\nb"]
    names = {run_of_job("demo", [f"data.root={value}"], []) for value in values}
    assert len(names) == len(values)
    assert all(re.fullmatch(r"demo\+data\.root-[\w.-]+", name) for name in names)


def test_names_of_runs_are_bounded() -> None:
    values = ["".join(["ab"[bit == n] for bit in range(300)]) for n in (298, 299)]
    names = {run_of_job("demo", [f"split.name={value}"], []) for value in values}
    assert len(names) == 2 and max(map(len, names)) < 200
