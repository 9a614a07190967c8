"""A stage from a file outside the project: listed, run, and refused where it comes too early."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.registry import restored
from tests.line import Line, frames_line

FILE = Path(__file__).parent / "extensions" / "best_teacher.py"
NAMED = f"extensions=[{FILE}]"


@pytest.fixture(autouse=True)
def registry_of_its_own() -> Iterator[None]:
    with restored():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


def test_it_runs_on_a_finished_run(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    outcome = line.call("stage=mine", NAMED)
    assert outcome.status == 0, outcome.err
    path = line.run / "best.json"
    assert outcome.out.strip() == str(path)
    gaps = {}
    for name in ("vlad", "plain"):
        summary = json.loads((line.run / "teachers" / name / "DONE").read_text())["summary"]
        gaps[name] = summary[f"gap_search_{summary['kept']}"]
    assert json.loads(path.read_text()) == {"best": max(gaps, key=lambda name: gaps[name])}


def test_trainings_of_its_run_load_the_file_too(finished: Line, tmp_path: Path) -> None:
    """A worker knows nothing of stages that come before it, and needs not."""
    line = finished.fresh(tmp_path)
    refusal = line.call("stage=mine", NAMED).refusal()
    assert "teachers/vlad" in refusal and "stage=teachers" in refusal
    outcome = line.call("stage=teachers", NAMED, "train.epochs=1", "~members.vlad")
    assert outcome.status == 0, outcome.err
    assert line.call("stage=mine", NAMED, "train.epochs=1", "~members.vlad").status == 0


def test_it_is_listed_where_its_file_is_named(finished: Line) -> None:
    assert "name the best teacher" in finished.call(NAMED).out


def test_unknown_stage_names_those_that_there_are(finished: Line) -> None:
    refusal = finished.call("stage=mine").refusal()
    for word in ("'mine'", "teachers", "distill", "all", "extensions=[...]"):
        assert word in refusal
