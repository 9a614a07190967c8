"""Runs independent jobs at once, each in a process of its own, so that one death is one failure."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

from runs.errors import RunError
from runs.forks import Forked, ForkServer
from runs.parent import PARENT_PIPE
from runs.progress import JobProgress, last_progress
from runs.store import LOG_NAME, PROGRESS_NAME

_POLL_SECONDS = 0.1
_CHECKPOINT_SECONDS = 60.0
_TAIL_LINES = 20
_TAIL_BYTES = 8192
_Process = subprocess.Popen[bytes] | Forked
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Job:
    """A command to run in a process of its own.

    Attributes:
        name: What the job is called in messages and bars.
        folder: Where `log.txt` (standard output and error) and `progress.jsonl` lie.
        command: The program and its arguments; no shell reads them.
    """

    name: str
    folder: Path
    command: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """How a job ended.

    Attributes:
        name: The job's name.
        returncode: 0 when it succeeded; minus the signal's number when a signal ended it.
        message: None when it succeeded; otherwise its name, what ended it, and its log's end.
    """

    name: str
    returncode: int
    message: str | None = None


def run_jobs(
    jobs: Sequence[Job],
    parallel: int,
    *,
    threads: int,
    on_progress: Callable[[JobProgress], None] = lambda progress: None,
) -> list[Result]:
    """Runs `jobs`, at most `parallel` at a time, and waits for all; a failure stops no other.

    SIGINT or SIGTERM here becomes SIGTERM for the jobs that run (they checkpoint), the rest is not
    started, and once they have ended the signal is raised again. A second one kills them. If this
    process dies without a word, the jobs that called `die_with_parent` end by themselves.

    Args:
        jobs: The jobs, with names and folders of their own; folders are made when missing.
        parallel: How many run at once, at least 1.
        threads: Threads for the numeric libraries of each job, at least 1.
        on_progress: Is told where a job stands whenever that changes.

    Returns:
        The result of each job, in the order of `jobs`.

    Raises:
        RunError: Two jobs share a name or a folder, or a number is below 1.
    """
    _check(jobs, parallel, threads)
    batch = _Batch(deque(jobs), threads, on_progress)
    with _signals() as received:
        try:
            while (batch.waiting and not received) or batch.running:
                if received:
                    batch.stop(kill=len(received) > 1)
                else:
                    batch.start_up_to(parallel)
                batch.collect()
                time.sleep(_POLL_SECONDS)
        finally:
            batch.close()
    if received:
        signal.raise_signal(received[0])
    return [batch.results[job.name] for job in jobs if job.name in batch.results]


def _check(jobs: Sequence[Job], parallel: int, threads: int) -> None:
    for what, number in (("parallel", parallel), ("threads", threads)):
        if number < 1:
            raise RunError(f"{what}={number}: at least 1 is needed")
    for values in ([job.name for job in jobs], [str(job.folder) for job in jobs]):
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise RunError(f"two jobs share {twice[0]}: give each its own name and folder")


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM in a list while the jobs run; only the main thread may."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    # What a shell starts in the background ignores SIGINT, and goes on doing so.
    heeded = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {n: signal.signal(n, lambda number, _: received.append(number)) for n in heeded}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class _Running:
    job: Job
    process: _Process
    log_start: int
    shown: JobProgress


@dataclass
class _Batch:
    """The jobs of one call: those that wait, those that run, and how the others ended."""

    waiting: deque[Job]
    threads: int
    on_progress: Callable[[JobProgress], None]
    running: list[_Running] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    stop_deadline: float | None = None

    def start_up_to(self, parallel: int) -> None:
        while self.waiting and len(self.running) < parallel:
            self._start(self.waiting.popleft())

    def _start(self, job: Job) -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / PROGRESS_NAME).unlink(missing_ok=True)
        with (job.folder / LOG_NAME).open("ab") as log:
            start = log.tell()
            try:
                process = _start_process(job, log, _environment(self.threads))
            except OSError as error:
                message = f"{job.name} could not be started: {job.command[0]}: {error.strerror}"
                self._end(job, Result(job.name, 127, message))
                return
        self.running.append(_Running(job, process, start, JobProgress(job.name, "running")))
        self.on_progress(self.running[-1].shown)

    def collect(self) -> None:
        """Shows what moved and books what ended."""
        for entry in list(self.running):
            code = entry.process.poll()
            now = _progress(entry.job, "running")
            if now != entry.shown:
                entry.shown = now
                self.on_progress(now)
            if code is not None:
                self.running.remove(entry)
                _kill_group(entry.process)
                message = _failure(entry, code) if code else None
                self._end(entry.job, Result(entry.job.name, code, message))

    def _end(self, job: Job, result: Result) -> None:
        self.results[job.name] = result
        self.on_progress(_progress(job, "failed" if result.returncode else "done"))

    def stop(self, *, kill: bool) -> None:
        """Asks what runs to end; kills it when told to, or when it takes too long."""
        if self.stop_deadline is None:
            self.stop_deadline = time.monotonic() + _CHECKPOINT_SECONDS
            for entry in self.running:
                with suppress(ProcessLookupError):
                    os.kill(entry.process.pid, signal.SIGTERM)
        if kill or time.monotonic() > self.stop_deadline:
            self._kill()

    def close(self) -> None:
        """Leaves no process behind, also when an exception passes through."""
        self._kill()
        while any(entry.process.poll() is None for entry in self.running):
            time.sleep(_POLL_SECONDS)

    def _kill(self) -> None:
        for entry in self.running:
            _kill_group(entry.process)


def _start_process(job: Job, log: BinaryIO, environment: Mapping[str, str]) -> _Process:
    """The job's process, the leader of a group of its own.

    Ctrl-C must reach the jobs once, as SIGTERM from here, and by its group a job's data workers can
    be ended with it.
    """
    program, *arguments = job.command
    if sys.platform == "linux" and program == sys.executable and arguments[0] == "-m":
        server = _fork_server(arguments[1], environment["OMP_NUM_THREADS"])
        if not server.alive:
            _fork_server.cache_clear()
            server = _fork_server(arguments[1], environment["OMP_NUM_THREADS"])
        return server.start(arguments[2:], Path(log.name), environment)
    return subprocess.Popen(
        job.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        pass_fds=(_parent_pipe(),),
        process_group=0,
    )


@cache
def _fork_server(module: str, threads: str) -> ForkServer:
    """One for each number of threads, which libraries read when they are imported."""
    return ForkServer(module, _environment(int(threads)), [_parent_pipe()])


@cache
def _parent_pipe() -> int:
    """The read end of a pipe whose write end is open as long as this process lives."""
    return os.pipe()[0]


def _environment(threads: int) -> dict[str, str]:
    # Unbuffered, so that the log of a killed job has its last words.
    own = {PARENT_PIPE: str(_parent_pipe()), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads)), **own}


def _kill_group(process: _Process) -> None:
    """Kills a job, if it still runs, and whatever it left in its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _progress(job: Job, state: str) -> JobProgress:
    """Where a job stands by the last line that it wrote."""
    figures = last_progress(job.folder) or {"step": 0, "steps": 0}
    return JobProgress(job.name, state, figures.pop("step"), figures.pop("steps"), figures)


def _failure(entry: _Running, code: int) -> str:
    log_path = entry.job.folder / LOG_NAME
    tail = _log_tail(log_path, entry.log_start)
    ending = f"the end of {log_path}:\n{tail}" if tail else f"{log_path} is empty"
    return f"{entry.job.name} {describe_exit(code)}; {ending}"


def describe_exit(code: int) -> str:
    """What ended a process, from its return code: `was killed by SIGKILL (out of memory?)`."""
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"


def _log_tail(path: Path, start: int) -> str:
    """The last lines that this attempt wrote."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(start, end - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:]).strip()
