"""A job's process: how it is started, told to end, and seen to live."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from common.allocator import environment as allocator_variables
from common.threads import environment as thread_variables
from runs.forks import Forked, ForkServer
from runs.parent import PARENT_PIPE
from runs.store import LOG_NAME, PROGRESS_NAME

Process = subprocess.Popen[bytes] | Forked
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Job:
    """A command to run in a process of its own.

    Attributes:
        name: What the job is called in messages and bars.
        folder: Where `log.txt` (standard output and error) and `progress.jsonl` lie.
        command: The program and its arguments; no shell reads them.
        threads: Threads for its numeric libraries, at least 1; what it computes may depend on them.
        reserved: Cores that are kept for it; None: as many as its threads.
        gpus: GPUs that are kept for it.
        reads: Files and folders of the run that it reads, beside its own: for machines that do not
            share a file system.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    threads: int = 1
    reserved: int | None = None
    gpus: int = 0
    reads: tuple[Path, ...] = ()

    @property
    def cpus(self) -> int:
        """Cores that it takes."""
        return self.threads if self.reserved is None else self.reserved


def open_log(folder: Path) -> BinaryIO:
    """The log of a job, to append to; what an earlier attempt reported is forgotten."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROGRESS_NAME).unlink(missing_ok=True)
    return (folder / LOG_NAME).open("ab")


def start_process(
    job: Job, log: BinaryIO, is_wanted: Callable[[], bool], variables: Mapping[str, str]
) -> Process:
    """The job's process, the leader of a group of its own, with variables of its environment.

    Ctrl-C must reach the jobs once, as SIGTERM from here, and by its group a job's data workers can
    be ended with it.

    Raises:
        InterruptedError: It is wanted no more, and was not started.
    """
    program, *arguments = job.command
    environment = {**_environment(job.threads), **variables}
    if sys.platform == "linux" and program == sys.executable and arguments[0] == "-m":
        server = _fork_server(arguments[1], job.threads)
        if not server.alive:
            _fork_server.cache_clear()
            server = _fork_server(arguments[1], job.threads)
        return server.start(arguments[2:], Path(log.name), environment, is_wanted)
    return subprocess.Popen(
        job.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        pass_fds=(_parent_pipe(),),
        process_group=0,
    )


def tell_to_end(process: Process) -> None:
    """Asks a job to end; a training writes a checkpoint first."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)


def kill_group(process: Process) -> None:
    """Kills a job, if it still runs, and whatever it left in its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@cache
def _fork_server(module: str, threads: int) -> ForkServer:
    """One for each number of threads, which libraries read when they are imported."""
    return ForkServer(module, _environment(threads), [_parent_pipe()])


@cache
def _parent_pipe() -> int:
    """The read end of a pipe whose write end is open as long as this process lives."""
    return os.pipe()[0]


def _environment(threads: int) -> dict[str, str]:
    # Jobs import the same packages, from wherever this process was started.
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    # The log of a killed job has its last words, and no module is of the current folder.
    python = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    own = {PARENT_PIPE: str(_parent_pipe()), **python}
    return {**os.environ, **thread_variables(threads), **allocator_variables(), **own}
