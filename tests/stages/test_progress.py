"""How much was done before, and how much of a run is left."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from runs import JobProgress, ProgressDisplay
from stages import progress
from stages.progress import RunProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that progress is told."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_what_was_done_is_said_in_one_line_of_each_kind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = RunProgress()
    first = ["teachers/a", "folds/0/teachers/a", "folds/1/teachers/a"]
    run.found(first, [], more=True)
    assert capsys.readouterr().err == ""
    run.found(["teachers/b"], [])
    assert capsys.readouterr().err == "teachers: 4 of 4 were done\n"
    # What is missing is about to be made: what was done is said before.
    run.found(first, first[:1], more=True)
    assert capsys.readouterr().err == "teachers: 2 of 3 were done\n"
    run.found(["teachers/b"], ["teachers/b"])
    assert capsys.readouterr().err == ""


def test_the_estimate_counts_what_comes_later(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunProgress()
    run.begin("teachers", 2, 6)
    clock.now += 60
    stream = io.StringIO()
    names = ["teachers/a", "teachers/b", "teachers/c"]
    ahead = {**dict(zip(names, (20.0, 5.0, 5.0), strict=True)), "students/a": 60.0}
    with ProgressDisplay(stream) as display:
        batch = run.batch(names, display, ahead)
        clock.now += 90
        batch.update(JobProgress("teachers/a", "running", 1, 2))
        # Ten epochs took 90 s: the twenty that are left of these take 180, and sixty more 540.
        shown = stream.getvalue().splitlines()[-1]
        assert shown == "stage 2 of 6, teachers: 0/3 elapsed 2:30, about 12:00 left"
        clock.now += 180
        for name in names:
            batch.update(JobProgress(name, "done", 2, 2))
        shown = stream.getvalue().splitlines()[-1]
        assert shown == "stage 2 of 6, teachers: 3/3 done, elapsed 5:30, about 9:00 left"
        # Of other work than trainings nothing is known, neither of it nor by it.
        batch = run.batch(["teachers/d", "teachers/e"], display, {"students/a": 60.0})
        clock.now += 30
        batch.update(JobProgress("teachers/d", "done", 1, 1))
        shown = stream.getvalue().splitlines()[-1]
        assert shown == "stage 2 of 6, teachers: 1/2 elapsed 6:00"
    capsys.readouterr()
    run.begin("distill", 3, 6)
    said = capsys.readouterr().err
    assert said == "stage 3 of 6: distill, 6:00 elapsed, about 9:00 of training left\n"
    with ProgressDisplay(stream) as display:
        batch = run.batch(["students/a"], display, {"students/a": 60.0})
        clock.now += 300
        batch.update(JobProgress("students/a", "done", 1, 1))
    run.begin("pack", 4, 6)
    assert capsys.readouterr().err == "stage 4 of 6: pack, 11:00 elapsed\n"


def test_a_stage_by_itself_is_estimated_by_its_jobs(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    with ProgressDisplay(stream) as display:
        batch = RunProgress().batch(["soft/a", "soft/b"], display, {})
        clock.now += 10
        batch.update(JobProgress("soft/a", "done", 1, 1))
    assert stream.getvalue().splitlines()[-1] == "soft: 1/2 elapsed 0:10, about 0:10 left"


def test_one_that_failed_is_no_success(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    with ProgressDisplay(stream) as display:
        batch = RunProgress().batch(["teachers/a", "teachers/b"], display, {})
        batch.update(JobProgress("teachers/a", "failed"))
        batch.update(JobProgress("teachers/b", "done", 3, 3))
    assert stream.getvalue().splitlines()[-1] == "teachers: 2/2 failed, elapsed 0:00"
