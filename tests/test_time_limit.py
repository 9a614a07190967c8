"""`time_limit` by the command line: what is shortened is said, and made anew without a limit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.line import Line, means_line

WEIGHTS = "teachers/plain/weights.safetensors"


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


def test_a_shortened_run_is_told_kept_and_made_anew(means: Line, tmp_path: Path) -> None:
    line = means.fresh(tmp_path)
    # There is time for nothing, and the least is done.
    outcome = line.call("stage=teachers", "time_limit=0.001s")
    assert outcome.status == 0, outcome.err
    (row,) = csv.DictReader((line.run / "teachers.csv").open())
    assert 0 < int(row["steps"]) < int(row["planned"]) == 80
    told = f"teachers/plain: there was time for {row['steps']} of 80 steps"
    assert told in outcome.err.splitlines()
    short = (line.run / WEIGHTS).read_bytes()
    assert short != (means.run / WEIGHTS).read_bytes()

    # Another limit redoes nothing; without one it does not pass for the whole training.
    finished = line.done()
    assert line.call("stage=teachers", "time_limit=2h").status == 0
    assert line.call("stage=teachers", "train.time_limit=9").status == 0
    assert line.done() == finished
    refusal = line.call("stage=ensemble").refusal()
    assert "teachers/plain had no time for all its steps" in refusal
    assert line.call("stage=teachers").status == 0
    assert (line.run / WEIGHTS).read_bytes() == (means.run / WEIGHTS).read_bytes()
    # And what had all its time is the same under a limit.
    finished = line.done()
    assert line.call("stage=teachers", "time_limit=1s").status == 0
    assert line.done() == finished


def test_a_time_that_is_none_is_refused(means: Line, tmp_path: Path) -> None:
    refusal = means.fresh(tmp_path).call("stage=teachers", "time_limit=soon").refusal()
    assert refusal.startswith("onegig: time_limit=soon: write a time such as 2h, 90m or 45s")


def test_a_training_is_scored_on_the_way(means: Line) -> None:
    lines = [json.loads(line) for line in (means.run / "teachers/plain/metrics.jsonl").open()]
    scored = [line for line in lines if "search" in line]
    assert [(line["step"], line["epoch"]) for line in scored] == [
        (20, 1),
        (40, 2),
        (60, 3),
        (80, 4),
    ]
    assert all(0 < line["search"]["gap"] < 1 for line in scored)
    summary = json.loads((means.run / "teachers/plain/DONE").read_text())["summary"]
    assert summary["evaluation_seconds"] >= 0 and summary["cpu_load"] > 0
    assert summary["loss"] == [line["loss"] for line in lines if "loss" in line][-1]
