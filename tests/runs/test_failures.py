"""What is said of jobs that fail: once for all that failed alike."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from runs import NOTE, Job, Result, describe_failures, run_jobs
from runs.failures import describe_exit


def failed(name: str, tail: str, code: int = 1) -> Result:
    return Result(name, code, describe_exit(code), Path(f"/run/{name}/log.txt"), tail)


def test_jobs_that_failed_alike_are_said_once() -> None:
    tails = [f"Traceback of {name}\nKeyError: 'missing'" for name in "abcd"]
    results = [failed(name, tail) for name, tail in zip("abcd", tails, strict=True)]
    said = describe_failures([*results, Result("good", 0, describe_exit(0), Path())])
    assert said.splitlines() == [
        "4 jobs failed alike: a, b, c, d: a ended with exit status 1; the end of /run/a/log.txt:",
        "Traceback of a",
        "KeyError: 'missing'",
    ]


def test_others_are_said_apart() -> None:
    results = [
        failed("a", "KeyError: 'missing'"),
        failed("b", "KeyError: 'other'"),
        failed("c", "KeyError: 'missing'", -signal.SIGKILL),
    ]
    said = describe_failures(results)
    assert "alike" not in said
    for result in results:
        assert str(result.message) in said


def test_the_same_failure_in_folders_of_their_own_is_one() -> None:
    results = [
        failed(n, f"/run/{n}/weights.safetensors: No space left on device", 71) for n in "abc"
    ]
    said = describe_failures(results, last_lines=True)
    assert said == "/run/a/weights.safetensors: No space left on device"
    said = describe_failures([*results, failed("d", "shard: damaged", 2)], last_lines=True)
    assert said.splitlines() == [
        "a, b, c: /run/a/weights.safetensors: No space left on device",
        "d: shard: damaged",
    ]


def test_very_many_names_are_counted() -> None:
    said = describe_failures([failed(f"m{number}", "no") for number in range(30)])
    assert said.startswith("30 jobs failed alike: m0, ") and "m19 and 10 more: m0 ended" in said


def test_a_log_without_space_says_so(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "log.txt").symlink_to("/dev/full")
    command = (sys.executable, "-c", "print('said')")
    (result,) = run_jobs([Job("a", tmp_path / "a", command)], 1)
    assert result.returncode == 1
    assert str(result.message).endswith("log.txt cannot be written: No space left on device")


def test_a_job_that_cannot_have_a_log_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "a" / "log.txt").mkdir(parents=True)
    command = (sys.executable, "-c", "pass")
    jobs = [Job(name, tmp_path / name, command) for name in "ab"]
    first, second = run_jobs(jobs, 1)
    assert str(first.message).startswith("a could not be started: ")
    assert str(first.message).endswith("log.txt: Is a directory")
    assert second.message is None


def test_a_job_that_succeeds_may_leave_a_note(tmp_path: Path) -> None:
    command = (sys.executable, "-c", f"print('{NOTE}began anew'); print('other')")
    (result,) = run_jobs([Job("a", tmp_path, command)], 1)
    assert (result.message, result.notes) == (None, ("began anew",))
