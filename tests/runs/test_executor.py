"""Each job is a process of its own, and none outlives its parent."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import runs.executor
import runs.parent
from runs import Job, JobProgress, RunError, run_jobs
from runs.failures import describe_exit
from runs.store import PROGRESS_NAME


def job(tmp_path: Path, name: str, script: str) -> Job:
    return Job(name, tmp_path / name, (sys.executable, "-c", script))


def until(condition: object, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_all_succeed_in_order(tmp_path: Path) -> None:
    jobs = [job(tmp_path, name, f"print({name!r})") for name in ("one", "two", "three")]
    results = run_jobs(jobs, 2)
    assert [(r.name, r.returncode, r.message) for r in results] == [
        ("one", 0, None),
        ("two", 0, None),
        ("three", 0, None),
    ]
    assert (tmp_path / "two" / "log.txt").read_text() == "two\n"


def test_a_killed_job_is_named_and_the_others_finish(tmp_path: Path) -> None:
    kill = "import os, signal; print('last words'); os.kill(os.getpid(), signal.SIGKILL)"
    jobs = [
        job(tmp_path, "good", "import time; time.sleep(0.3)"),
        job(tmp_path, "victim", kill),
        job(tmp_path, "after", "pass"),
    ]
    good, victim, after = run_jobs(jobs, 2)
    assert (good.returncode, after.returncode) == (0, 0)
    assert victim.returncode == -signal.SIGKILL
    assert victim.message is not None
    assert victim.message.startswith("victim was killed by SIGKILL")
    assert victim.message.endswith("last words")
    assert str(tmp_path / "victim" / "log.txt") in victim.message


def test_an_exception_is_reported_with_the_end_of_this_attempts_log(tmp_path: Path) -> None:
    run_jobs([job(tmp_path, "a", "print('first attempt'); raise SystemExit(3)")], 1)
    script = "for n in range(100): print(n)\nraise KeyError('missing')"
    (result,) = run_jobs([job(tmp_path, "a", script)], 1)
    assert result.returncode == 1
    assert result.message is not None
    assert result.message.startswith("a ended with exit status 1")
    assert result.message.endswith("KeyError: 'missing'")
    assert len(result.message.splitlines()) == 21
    (silent,) = run_jobs([job(tmp_path, "a", "raise SystemExit(4)")], 1)
    assert silent.message == f"a ended with exit status 4; {tmp_path / 'a' / 'log.txt'} is empty"


def test_a_program_that_does_not_exist_is_a_failure_of_its_job(tmp_path: Path) -> None:
    missing = Job("missing", tmp_path / "missing", ("/nowhere/program",))
    results = run_jobs([missing, job(tmp_path, "good", "pass")], 1)
    assert results[0].message is not None and "/nowhere/program" in results[0].message
    assert [result.returncode for result in results] == [127, 0]


def test_no_more_than_parallel_run_at_once(tmp_path: Path) -> None:
    script = (
        "import time, pathlib\nprint(time.monotonic())\ntime.sleep(0.2)\nprint(time.monotonic())"
    )
    jobs = [job(tmp_path, f"job{index}", script) for index in range(4)]
    run_jobs(jobs, 2)
    spans = [tuple(float(x) for x in (j.folder / "log.txt").read_text().split()) for j in jobs]
    for start, _ in spans:
        assert sum(first <= start < last for first, last in spans) <= 2


def test_threads_and_progress_reach_the_other_side(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from runs import append_progress\n"
        "folder = Path(sys.argv[1])\n"
        "append_progress(folder, 1, 2, threads=os.environ['OMP_NUM_THREADS'])\n"
        "time.sleep(0.4)\n"
        "append_progress(folder, 2, 2)\n"
    )
    folder = tmp_path / "a"
    seen: list[JobProgress] = []
    command = (sys.executable, "-c", script, str(folder))
    run_jobs([Job("a", folder, command, threads=3)], 1, on_progress=seen.append)
    assert seen[0] == JobProgress("a", "running")
    assert JobProgress("a", "running", 1, 2, {"threads": "3"}) in seen
    assert seen[-1] == JobProgress("a", "done", 2, 2)


def test_progress_of_an_earlier_attempt_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "progress.jsonl").write_text('{"step": 9, "steps": 9}\n')
    seen: list[JobProgress] = []
    run_jobs([job(tmp_path, "a", "pass")], 1, on_progress=seen.append)
    assert seen == [JobProgress("a", "running"), JobProgress("a", "done")]


@pytest.mark.parametrize(("parallel", "threads"), [(0, 1), (1, 0)])
def test_numbers_below_one_are_refused(tmp_path: Path, parallel: int, threads: int) -> None:
    with pytest.raises(RunError, match="at least 1"):
        run_jobs([replace(job(tmp_path, "a", "pass"), threads=threads)], parallel)


def test_jobs_that_share_a_name_or_a_folder_are_refused(tmp_path: Path) -> None:
    one = job(tmp_path, "a", "pass")
    with pytest.raises(RunError, match="share a"):
        run_jobs([one, Job("a", tmp_path / "b", one.command)], 1)
    with pytest.raises(RunError, match="share"):
        run_jobs([one, Job("b", one.folder, one.command)], 1)


def test_an_exception_in_the_callback_leaves_no_process(tmp_path: Path) -> None:
    script = "import os, time; print(os.getpid()); time.sleep(60)"
    log = tmp_path / "a" / "log.txt"

    def fail(progress: JobProgress) -> None:
        assert until(lambda: log.read_text().endswith("\n"))
        raise KeyError("callback")

    with pytest.raises(KeyError):
        run_jobs([job(tmp_path, "a", script)], 1, on_progress=fail)
    assert not alive(int(log.read_text()))


def test_what_a_job_leaves_in_its_group_ends_with_it(tmp_path: Path) -> None:
    script = (
        "import os, signal, time\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    time.sleep(60)\n"
        "print(child)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run_jobs([job(tmp_path, "a", script)], 1)
    child = int((tmp_path / "a" / "log.txt").read_text())
    assert until(lambda: not alive(child))


# Loaded by its path, since the whole package takes a second to import.
CHILD = f"""
import os, runpy, signal, sys, time
runpy.run_path({runs.parent.__file__!r})["die_with_parent"]()
assert "ONEGIG_PARENT_PIPE" not in os.environ
def checkpoint(number, frame):
    print("checkpoint", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, checkpoint)
forked = os.fork()
print(os.getpid(), flush=True)
while True:
    time.sleep(0.05)
"""

PARENT = """
import signal, sys
from pathlib import Path
from runs import Job, run_jobs
# A suite that a script starts in the background ignores SIGINT, and hands that down.
signal.signal(signal.SIGINT, getattr(signal, sys.argv[3]))
root = Path(sys.argv[1])
child = (sys.executable, "-c", sys.argv[2])
run_jobs([Job(n, root / n, child) for n in ("a", "b", "c")], 2)
"""


def start_parent(
    tmp_path: Path, on_interrupt: str = "default_int_handler"
) -> tuple[subprocess.Popen[bytes], list[int]]:
    command = [sys.executable, "-c", PARENT, str(tmp_path), CHILD, on_interrupt]
    parent = subprocess.Popen(command)
    logs = [tmp_path / name / "log.txt" for name in ("a", "b")]
    assert until(lambda: all(x.exists() and x.read_text().count("\n") == 2 for x in logs))
    return parent, [int(line) for log in logs for line in log.read_text().split()]


def test_no_job_outlives_a_killed_parent(tmp_path: Path) -> None:
    parent, children = start_parent(tmp_path)
    assert all(alive(child) for child in children)
    parent.kill()
    parent.wait()
    assert until(lambda: not any(alive(child) for child in children))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)]
)
def test_a_signal_lets_the_jobs_checkpoint_and_is_raised_again(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    parent, children = start_parent(tmp_path)
    parent.send_signal(number)
    assert parent.wait(timeout=30) == code
    assert until(lambda: not any(alive(child) for child in children))
    for name in ("a", "b"):
        assert "checkpoint" in (tmp_path / name / "log.txt").read_text()
    assert not (tmp_path / "c").exists()


def test_a_signal_that_is_ignored_stops_nothing(tmp_path: Path) -> None:
    parent, children = start_parent(tmp_path, "SIG_IGN")
    parent.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        parent.wait(timeout=0.3)
    assert all(alive(child) for child in children)
    assert "checkpoint" not in (tmp_path / "a" / "log.txt").read_text()
    parent.terminate()
    assert parent.wait(timeout=30) == -signal.SIGTERM


def test_a_worker_started_by_hand_has_no_parent_to_follow(tmp_path: Path) -> None:
    script = (
        "import os, runpy, sys, time\n"
        "follow = runpy.run_path(sys.argv[1])['die_with_parent']\n"
        "follow()\n"
        "for value in ('', 'nonsense', '99', '1'):\n"
        "    os.environ['ONEGIG_PARENT_PIPE'] = value\n"
        "    follow()\n"
        "    time.sleep(0.05)\n"
        "print('went on')\n"
    )
    with (tmp_path / "out").open("wb") as out:
        command = [sys.executable, "-c", script, runs.parent.__file__]
        assert subprocess.call(command, stdout=out) == 0
    assert (tmp_path / "out").read_text() == "went on\n"


def test_exit_codes_in_words() -> None:
    assert describe_exit(2) == "ended with exit status 2"
    assert describe_exit(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert describe_exit(-200) == "was killed by signal 200"
    assert json.dumps(describe_exit(-9)) == '"was killed by SIGKILL (out of memory?)"'


def test_a_job_that_hangs_is_named_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.executor, "_GRACE_SECONDS", 0.5)
    ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    reports = (
        "import sys, time\nfor n in range(30):\n    time.sleep(0.15)\n"
        "    open(sys.argv[1], 'a').write('{}\\n')\n"
    )
    writes = "import time\nfor n in range(30): time.sleep(0.15); print(n, flush=True)"
    reads = "import time\nfor n in range(30): time.sleep(0.15); open('/dev/zero', 'rb').read(9)"
    has_read = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {reads!r}])"
    command = (sys.executable, "-c", reports, str(tmp_path / "reports" / PROGRESS_NAME))
    jobs = [
        job(tmp_path, "hangs", "import time; print('last words', flush=True); time.sleep(600)"),
        job(tmp_path, "ignores", ignores),
        Job("reports", tmp_path / "reports", command),
        job(tmp_path, "writes", writes),
        job(tmp_path, "reads", reads),
        job(tmp_path, "has_read", has_read),
    ]
    hangs, deaf, *good = run_jobs(jobs, 6, silent_seconds=3.0)
    said = "hangs made no progress for 0.05 minutes and was ended; the end of "
    assert str(hangs.message).startswith(said) and str(hangs.message).endswith("last words")
    assert hangs.returncode == -signal.SIGTERM
    assert deaf.returncode == -signal.SIGKILL
    assert [result.message for result in good] == [None] * 4


def test_jobs_that_are_told_to_end_are_interrupted_not_failed(tmp_path: Path) -> None:
    """One that checkpoints ends with 143, one that does not by the signal itself."""
    checkpoints = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "print('ready', flush=True)\ntime.sleep(600)"
    )
    jobs = [
        job(tmp_path, "checkpoints", checkpoints),
        job(tmp_path, "does_not", "import time; print('ready', flush=True); time.sleep(600)"),
    ]
    logs = [one.folder / "log.txt" for one in jobs]
    script = (
        "import sys\nfrom pathlib import Path\nfrom runs import Job, run_jobs\n"
        "jobs = [Job(n, Path(f), tuple(c)) for n, f, c in eval(sys.argv[1])]\n"
        "run_jobs(jobs, 2, on_progress=lambda p: print(p.name, p.state, flush=True))\n"
    )
    plain = [(one.name, str(one.folder), one.command) for one in jobs]
    parent = subprocess.Popen(
        [sys.executable, "-c", script, repr(plain)], stdout=subprocess.PIPE, text=True
    )
    assert until(lambda: all(log.exists() and log.read_text() for log in logs))
    parent.send_signal(signal.SIGTERM)
    said, _ = parent.communicate(timeout=60)
    assert {"checkpoints interrupted", "does_not interrupted"} <= set(said.splitlines())
    assert "failed" not in said
