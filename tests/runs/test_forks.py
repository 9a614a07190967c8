"""`python -m MODULE` as a job: forked from a process that imported the module, alike else."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import runs.executor
from runs import Job, run_jobs
from runs.forks import ForkServer

NAMES = (f"forked_module_{number}" for number in itertools.count())
MODULE = """
import os, signal, sys
IMPORTED_BY = os.getpid()
if __name__ == "__main__":
    leads = os.getpgrp() == os.getpid()
    print(sys.argv[1:], os.environ["OMP_NUM_THREADS"], os.environ.get("OWN"), leads)
    print(sys.stdin.read() == "", os.path.basename(os.getcwd()))
    exec(sys.argv[1])
"""


def write_module(folder: Path) -> str:
    name = next(NAMES)
    (folder / f"{name}.py").write_text(MODULE)
    return name


def on_path(folder: Path) -> str:
    return f"{folder}{os.pathsep}{os.environ['PYTHONPATH']}"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that no server has imported yet."""
    monkeypatch.setenv("PYTHONPATH", on_path(tmp_path))
    return write_module(tmp_path)


@pytest.fixture(scope="module")
def served_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def served_name(served_folder: Path) -> str:
    return write_module(served_folder)


@pytest.fixture
def served(served_folder: Path, served_name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that other tests have a server of; a new one takes a second."""
    monkeypatch.setenv("PYTHONPATH", on_path(served_folder))
    return served_name


def job(tmp_path: Path, module: str, name: str, code: str) -> Job:
    return Job(name, tmp_path / name, (sys.executable, "-m", module, code))


def test_it_is_as_a_process_of_its_own(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for own in ("first", "second"):
        # The environment and the folder are those of the call, not of the server's start.
        monkeypatch.setenv("OWN", own)
        folder = tmp_path / f"in-{own}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        done = job(tmp_path, module, own, "print('to', 'stderr', file=sys.stderr)")
        (result,) = run_jobs([replace(done, threads=3)], 1)
        assert (result.returncode, result.message) == (0, None)
        said = (tmp_path / own / "log.txt").read_text().splitlines()
        assert said[0].endswith(f"] 3 {own} True")
        assert said[1:] == [f"True in-{own}", "to stderr"]


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("sys.exit(2)", 2, "ended with exit status 2"),
        ("sys.exit('no such key')", 1, "no such key"),
        ("raise KeyError('missing')", 1, "KeyError: 'missing'"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, "was killed by SIGKILL"),
        ("os.abort()", -signal.SIGABRT, "was killed by SIGABRT"),
    ],
)
def test_how_it_ends_is_told(
    tmp_path: Path, served: str, code: str, status: int, words: str
) -> None:
    jobs = [job(tmp_path, served, "bad", code), job(tmp_path, served, "good", "pass")]
    bad, good = run_jobs(jobs, 2)
    assert (bad.returncode, good.returncode) == (status, 0)
    assert bad.message is not None and words in bad.message


def test_the_module_is_imported_once_for_all(tmp_path: Path, served: str) -> None:
    code = f"import {served} as m; print(m.IMPORTED_BY == os.getpid(), os.getppid())"
    jobs = [job(tmp_path, served, name, code) for name in ("a", "b", "c")]
    run_jobs(jobs, 2)
    said = {(tmp_path / name / "log.txt").read_text().splitlines()[-1] for name in "abc"}
    assert len(said) == 1


def test_its_end_is_seen_when_it_comes(
    tmp_path: Path, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not when the executor looks again what moved, which is never here."""
    monkeypatch.setattr(runs.executor, "_POLL_SECONDS", 600.0)
    jobs = [job(tmp_path, served, name, "pass") for name in ("a", "b", "c")]
    assert [result.returncode for result in run_jobs(jobs, 2)] == [0, 0, 0]


def test_a_server_that_died_fails_its_jobs_by_name(tmp_path: Path, module: str) -> None:
    # It lets the server tell of its start first.
    code = "import time; time.sleep(0.5); os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)"
    (result,) = run_jobs([job(tmp_path, module, "a", code)], 1)
    assert result.returncode == -signal.SIGKILL
    (again,) = run_jobs([job(tmp_path, module, "b", "pass")], 1)
    assert again.returncode == 0


def test_a_server_is_dead_from_when_its_pipe_is_closed(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel closes a dying process's pipe before the process can be waited for."""
    server = ForkServer(module, os.environ, [])
    process = server.start(["pass"], tmp_path / "log.txt", {**os.environ, "OMP_NUM_THREADS": "1"})
    server._server.kill()
    while process.poll() != -signal.SIGKILL and not server._ended:
        pass
    monkeypatch.setattr(server._server, "poll", lambda: None)
    assert not server.alive


def test_its_name_in_a_list_of_processes_says_what_it_does(tmp_path: Path, served: str) -> None:
    code = "import subprocess; subprocess.run(['ps', '-ww', '-o', 'args=', '-p', str(os.getpid())])"
    run_jobs([job(tmp_path, served, "a", code)], 1)
    assert f"-m {served} import subprocess" in (tmp_path / "a" / "log.txt").read_text()


def test_no_server_outlives_its_maker(tmp_path: Path, module: str) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom runs import Job, run_jobs\n"
        "command = (sys.executable, '-m', sys.argv[1], 'print(os.getppid())')\n"
        "run_jobs([Job('a', Path(sys.argv[2]) / 'a', command)], 1)\n"
    )
    subprocess.run([sys.executable, "-c", script, module, str(tmp_path)], check=True)
    server = int((tmp_path / "a" / "log.txt").read_text().splitlines()[-1])
    for _ in range(200):
        if not Path(f"/proc/{server}").exists():
            break
        signal.sigtimedwait([], 0.05)
    assert not Path(f"/proc/{server}").exists()


def test_a_server_whose_maker_was_killed_ends_without_a_word(tmp_path: Path, module: str) -> None:
    """It was asked for a job before, and nobody is there to be told that it was started."""
    waits = "import os, time\nwhile str(os.getppid()) == os.environ['MAKER']: time.sleep(0.01)\n"
    place = tmp_path / f"{module}.py"
    place.write_text(waits + place.read_text())
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom threading import Timer\n"
        "from runs import Job, run_jobs\n"
        "os.environ['MAKER'] = str(os.getpid())\n"
        "Timer(1, os.kill, (os.getpid(), 9)).start()\n"
        "run_jobs([Job('a', Path(sys.argv[2]), (sys.executable, '-m', sys.argv[1], 'pass'))], 1)\n"
    )
    command = [sys.executable, "-c", script, module, str(tmp_path)]
    # It returns when the server has ended too, which has the same standard error.
    killed = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, "")
