"""What there is room for, and which GPU a job sees."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import runs.local
from runs import Capacity, Job, LocalMachine, run_jobs

SEEN = "import os, time; print(os.environ.get('CUDA_VISIBLE_DEVICES')); time.sleep({})"


def taking(cpus: int, gpus: int = 0) -> Job:
    return Job("a", Path("a"), ("true",), threads=1, reserved=cpus, gpus=gpus)


def test_capacity_holds_what_there_is_and_one_job_whatever_it_takes() -> None:
    assert Capacity(6).holds([taking(2), taking(4)])
    assert not Capacity(6).holds([taking(3), taking(4)])
    assert Capacity(9, 2).holds([taking(1, 1), taking(1, 1), taking(7)])
    assert not Capacity(9, 2).holds([taking(1, 2), taking(1, 1)])
    # Where there is none, nobody can have one.
    assert Capacity(2).holds([taking(1, 1), taking(1, 1)])
    assert [Capacity(6).times(cpus, 0) for cpus in (1, 2, 4, 9)] == [6, 3, 1, 1]
    assert [Capacity(16, 4).times(1, gpus) for gpus in (0, 1, 2, 8)] == [16, 4, 2, 1]


def test_a_job_takes_its_threads_unless_it_says_otherwise() -> None:
    assert Job("a", Path("a"), ("true",), threads=3).cpus == 3
    assert taking(2).cpus == 2


def see(tmp_path: Path, machine: LocalMachine, parallel: int | None, gpus: list[int]) -> list[str]:
    """What jobs that take so many GPUs see of them, begun in this order."""
    jobs = [
        Job(str(n), tmp_path / str(n), (sys.executable, "-c", SEEN.format(0.5)), gpus=count)
        for n, count in enumerate(gpus)
    ]
    assert all(result.returncode == 0 for result in run_jobs(jobs, parallel, machines=machine))
    return [(job.folder / "log.txt").read_text().strip() for job in jobs]


def test_each_job_sees_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.local, "cores", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine = LocalMachine(("4", "6"))
    assert sorted(see(tmp_path / "a", machine, None, [1, 1])) == ["4", "6"]
    # Of more jobs than GPUs, as many as were asked for share each.
    assert sorted(see(tmp_path / "b", machine, 4, [1, 1, 1, 1])) == ["4", "4", "6", "6"]
    assert see(tmp_path / "c", machine, None, [2, 0]) == ["4,6", "None"]


def test_no_more_run_at_once_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.local, "cores", lambda: 3)
    script = "import time; print(time.monotonic()); time.sleep(0.3); print(time.monotonic())"
    jobs = [
        Job(str(n), tmp_path / str(n), (sys.executable, "-c", script), reserved=cores)
        for n, cores in enumerate([2, 2, 1, 9])
    ]
    run_jobs(jobs, None)
    spans = [tuple(float(x) for x in (j.folder / "log.txt").read_text().split()) for j in jobs]
    for start, _ in spans:
        beside = [j for j, (first, last) in zip(jobs, spans, strict=True) if first <= start < last]
        assert sum(j.cpus for j in beside) <= 3 or len(beside) == 1
