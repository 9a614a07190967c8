"""Jobs that are thought of while others run: asked for when there is room, ended when unwanted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runs import Job, JobProgress, Result, run_source


class Source:
    """Jobs by what `script` says of the number of each, so many of them.

    Attributes:
        log: what happened, in order.
    """

    def __init__(self, folder: Path, script: Callable[[int], str], count: int) -> None:
        self.folder, self.script, self.count = folder, script, count
        self.log: list[str] = []
        self.results: dict[str, Result] = {}
        self.unwanted: set[str] = set()
        self.hesitates = 0

    def take(self) -> Job | None:
        if self.hesitates:
            self.hesitates -= 1
            return None
        if self.is_exhausted():
            return None
        self.count -= 1
        name = f"job-{self.count}"
        self.log.append(f"take {name}")
        return Job(name, self.folder / name, (sys.executable, "-c", self.script(self.count)))

    def next_like(self) -> Job | None:
        return None

    def is_exhausted(self) -> bool:
        return self.count == 0

    def ended(self, result: Result) -> None:
        self.log.append(f"ended {result.name}")
        self.results[result.name] = result

    def is_wanted(self, job: Job) -> bool:
        return job.name not in self.unwanted


def test_a_job_is_asked_for_when_there_is_room(tmp_path: Path) -> None:
    source = Source(tmp_path, lambda number: "pass", 3)
    run_source(source, 1)
    assert source.log == [
        *("take job-2", "ended job-2", "take job-1", "ended job-1", "take job-0", "ended job-0")
    ]
    assert not any(result.unwanted or result.returncode for result in source.results.values())


def test_a_source_that_has_none_now_is_asked_again(tmp_path: Path) -> None:
    source = Source(tmp_path, lambda number: "pass", 2)
    source.hesitates = 3
    run_source(source, 2)
    assert len(source.results) == 2 and not source.hesitates


def test_an_unwanted_job_is_told_to_end_and_the_others_go_on(tmp_path: Path) -> None:
    seen: list[JobProgress] = []
    source = Source(tmp_path, lambda number: f"import time; time.sleep({60 * number})", 2)
    source.unwanted.add("job-1")
    began = time.monotonic()
    run_source(source, 2, on_progress=seen.append)
    assert time.monotonic() - began < 50
    assert source.results["job-1"].unwanted and source.results["job-1"].returncode
    assert not source.results["job-0"].unwanted and source.results["job-0"].returncode == 0
    assert JobProgress("job-1", "stopped") in seen


def test_an_error_of_the_source_leaves_no_process(tmp_path: Path) -> None:
    def script(number: int) -> str:
        if number == 0:
            raise KeyError("of the source")
        return "import os, time; print(os.getpid(), flush=True); time.sleep(60)"

    with pytest.raises(KeyError, match="of the source"):
        run_source(Source(tmp_path, script, 2), 2)
    for word in (tmp_path / "job-1" / "log.txt").read_text().split():
        assert not Path(f"/proc/{word}").exists()
