"""The same bytes whatever `jobs` is, on one core or on all of them, with other work beside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import stages.execute
from runs import Job, Result
from tests.line import PROGRAM, Line, frames_line


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("jobs", [0, 1, 2, 3])
def test_threads_are_those_of_the_training(
    finished: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    asked: list[tuple[dict[str, int], int | None, float]] = []

    def run_jobs(processes: list[Job], parallel: int | None, **rest: object) -> list[Result]:
        silent = rest["silent_seconds"]
        assert isinstance(silent, float)
        assert all(job.cpus == job.threads for job in processes)
        asked.append(({job.name: job.threads for job in processes}, parallel, silent))
        raise KeyboardInterrupt

    monkeypatch.setattr(stages.execute, "run_jobs", run_jobs)
    line = finished.fresh(tmp_path)
    more = (f"jobs={jobs}", "members.plain.train.threads=2", "silent_minutes=2")
    assert line.call("stage=teachers", *more).status == 130
    assert asked == [({"teachers/vlad": 1, "teachers/plain": 2}, jobs or None, 120.0)]


# Fewer clips than the experiment has, and all of its members.
SMALLER = (
    "data.demo.train_clips=96",
    "data.demo.search_clips=40",
    "data.demo.report_clips=40",
    "train.epochs=1",
)


def results(outputs: Path, *more: str, before: Sequence[str] = ()) -> tuple[bytes, bytes]:
    """Bundle and submission of a whole run in a process of its own."""
    overrides = ["stage=all", "experiment=smoke", f"outputs={outputs}", *SMALLER, *more]
    # As on a command line: without the tests' own settings.
    environment = {name: v for name, v in os.environ.items() if "THREADS" not in name}
    command = [*before, sys.executable, str(PROGRAM), *overrides]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    run = outputs / "smoke"
    return (run / "bundle" / "bundle.safetensors").read_bytes(), (
        run / "submission-test.csv"
    ).read_bytes()


@pytest.mark.slow
def test_no_byte_depends_on_jobs_cores_or_other_work(tmp_path: Path) -> None:
    """Members that are large enough to round otherwise on two threads than on one."""
    data = f"data.root={tmp_path / 'data'}"
    one_core = ("taskset", "-c", str(min(os.sched_getaffinity(0))))
    expected = results(tmp_path / "1", data, "jobs=1", before=one_core)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            assert results(tmp_path / "3", data, "jobs=3") == expected
        finally:
            busy.kill()
    # What is equal above is so because the threads are: nothing else rounds alike by chance.
    assert results(tmp_path / "2", data, "jobs=2", "train.threads=2") != expected
