"""Runs independent jobs at once, each in a process of its own, so that one death is one failure."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

from common import system_errors
from common.threads import environment as thread_variables
from runs.errors import RunError
from runs.failures import MACHINE_FAILED, Result, describe_exit, log_tail, notes_of, why_silent
from runs.forks import Forked, ForkServer, wait_for_news
from runs.parent import PARENT_PIPE
from runs.progress import JobProgress, last_progress
from runs.store import LOG_NAME, PROGRESS_NAME
from runs.traces import traces_of

_POLL_SECONDS = 0.1
_CHECKPOINT_SECONDS = 60.0
# How long a job that hangs has to end when it is told to, and the kernel to end it when it is not.
_GRACE_SECONDS = 10.0
# A poll that comes later than that found this process stopped, and perhaps the jobs with it.
_COUNTED_SECONDS = 1.0
# How a job ends that was told to: after a checkpoint, or at once.
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL)
_Process = subprocess.Popen[bytes] | Forked


@dataclass(frozen=True)
class Job:
    """A command to run in a process of its own.

    Attributes:
        name: What the job is called in messages and bars.
        folder: Where `log.txt` (standard output and error) and `progress.jsonl` lie.
        command: The program and its arguments; no shell reads them.
        threads: Threads for its numeric libraries, at least 1; what it computes may depend on them.
    """

    name: str
    folder: Path
    command: tuple[str, ...]
    threads: int = 1


def run_jobs(
    jobs: Sequence[Job],
    parallel: int,
    *,
    silent_seconds: float = math.inf,
    on_progress: Callable[[JobProgress], None] = lambda progress: None,
    on_start: Callable[[Job], None] = lambda job: None,
) -> list[Result]:
    """Runs `jobs`, at most `parallel` at a time, and waits for all; a failure stops no other.

    SIGINT or SIGTERM here becomes SIGTERM for the jobs that run (they checkpoint), the rest is not
    started, and once they have ended the signal is raised again. A second one kills them. If this
    process dies without a word, the jobs that called `die_with_parent` end by themselves.

    Args:
        jobs: The jobs, with names and folders of their own; folders are made when missing.
        parallel: How many run at once, at least 1.
        silent_seconds: A job that has moved neither its progress nor its log for so long, and read
            nothing, hangs: it is ended, and has failed.
        on_progress: Is told where a job stands whenever that changes.
        on_start: Is told of a job just before it starts; its folder is there.

    Returns:
        The result of each job, in the order of `jobs`.

    Raises:
        RunError: Two jobs share a name or a folder, or a number is below 1.
    """
    _check(jobs, parallel)
    with _signals() as received:
        batch = _Batch(deque(jobs), silent_seconds, on_progress, on_start, received)
        try:
            while (batch.waiting and not received) or batch.running:
                if received:
                    batch.stop(kill=len(received) > 1)
                else:
                    batch.start_up_to(parallel)
                batch.collect()
                wait_for_news([entry.process for entry in batch.running], _POLL_SECONDS)
        finally:
            batch.close()
    if received:
        signal.raise_signal(received[0])
    return [batch.results[job.name] for job in jobs if job.name in batch.results]


def _check(jobs: Sequence[Job], parallel: int) -> None:
    numbers = [("parallel", parallel), *((f"{job.name}: threads", job.threads) for job in jobs)]
    for what, number in numbers:
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
    """A job that runs.

    Attributes:
        log_start: Where in its log this attempt begins.
        shown: What of its progress was shown.
        traces: Its progress, its log and what it had read when one of them last moved.
        silent: Seconds since then.
        deadline: When it is killed, once it was told to end because it was silent.
    """

    job: Job
    process: _Process
    log_start: int
    shown: JobProgress
    traces: object = None
    silent: float = 0.0
    deadline: float | None = None

    def listen(self, seconds: float) -> None:
        """Counts `seconds` more of silence, unless it moved."""
        traces = traces_of(self.job.folder, self.process.pid)
        self.silent = 0.0 if traces != self.traces else self.silent + seconds
        self.traces = traces


@dataclass
class _Batch:
    """The jobs of one call: those that wait, those that run, and how the others ended."""

    waiting: deque[Job]
    silent_seconds: float
    on_progress: Callable[[JobProgress], None]
    on_start: Callable[[Job], None]
    signals: Sequence[int]
    running: list[_Running] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    stop_deadline: float | None = None
    polled: float = field(default_factory=time.monotonic)

    def start_up_to(self, parallel: int) -> None:
        while self.waiting and len(self.running) < parallel and not self.signals:
            self._start(self.waiting.popleft())

    def _start(self, job: Job) -> None:
        try:
            log = _open_log(job.folder)
            self.on_start(job)
        except OSError as error:
            status = 2 if system_errors.is_of_path(error) else MACHINE_FAILED
            self._end(job, _not_started(job, status, system_errors.describe(error)))
            return
        with log:
            start = log.tell()
            try:
                process = _start_process(job, log, lambda: not self.signals)
            except InterruptedError:
                return
            except OSError as error:
                self._end(job, _not_started(job, 127, f"{job.command[0]}: {error.strerror}"))
                return
        self.running.append(_Running(job, process, start, JobProgress(job.name, "running")))
        self.on_progress(self.running[-1].shown)

    def collect(self) -> None:
        """Shows what moved, ends what hangs and books what ended."""
        now = time.monotonic()
        passed, self.polled = min(now - self.polled, _COUNTED_SECONDS), now
        for entry in list(self.running):
            code = entry.process.poll()
            progress = _progress(entry.job, "running")
            if progress != entry.shown:
                entry.shown = progress
                self.on_progress(progress)
            if code is None:
                entry.listen(passed)
                code = self._end_silent(entry)
            if code is not None:
                self.running.remove(entry)
                _kill_group(entry.process)
                self._end(entry.job, self._result(entry, code))

    def _end_silent(self, entry: _Running) -> int | None:
        """Ends a job that hangs; the code of one that even the kernel cannot end."""
        now = time.monotonic()
        if entry.deadline is None:
            if entry.silent > self.silent_seconds:
                entry.deadline = now + _GRACE_SECONDS
                _tell_to_end(entry.process)
        elif now > entry.deadline:
            _kill_group(entry.process)
            if now > entry.deadline + _GRACE_SECONDS:
                return -signal.SIGKILL
        return None

    def _result(self, entry: _Running, code: int) -> Result:
        log = entry.job.folder / LOG_NAME
        tail = log_tail(log, entry.log_start)
        if code == 0:
            return Result(entry.job.name, 0, describe_exit(0), log, tail, notes_of(tail))
        ending = describe_exit(code)
        if entry.deadline is not None:
            minutes = self.silent_seconds / 60
            ending = f"made no progress for {minutes:g} minutes and was ended"
        if not tail:
            ending += f"; {why_silent(log)}"
        return Result(entry.job.name, code, ending, log, tail)

    def _end(self, job: Job, result: Result) -> None:
        self.results[job.name] = result
        state = "failed" if result.returncode else "done"
        if self.stop_deadline is not None and result.returncode in _STOPPED:
            state = "interrupted"
        self.on_progress(_progress(job, state))

    def stop(self, *, kill: bool) -> None:
        """Asks what runs to end; kills it when told to, or when it takes too long."""
        if self.stop_deadline is None:
            self.stop_deadline = time.monotonic() + _CHECKPOINT_SECONDS
            for entry in self.running:
                _tell_to_end(entry.process)
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


def _open_log(folder: Path) -> BinaryIO:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROGRESS_NAME).unlink(missing_ok=True)
    return (folder / LOG_NAME).open("ab")


def _not_started(job: Job, code: int, why: str) -> Result:
    return Result(job.name, code, f"could not be started: {why}", job.folder / LOG_NAME)


def _start_process(job: Job, log: BinaryIO, is_wanted: Callable[[], bool]) -> _Process:
    """The job's process, the leader of a group of its own.

    Ctrl-C must reach the jobs once, as SIGTERM from here, and by its group a job's data workers can
    be ended with it.

    Raises:
        InterruptedError: It is wanted no more, and was not started.
    """
    program, *arguments = job.command
    environment = _environment(job.threads)
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


@cache
def _fork_server(module: str, threads: int) -> ForkServer:
    """One for each number of threads, which libraries read when they are imported."""
    return ForkServer(module, _environment(threads), [_parent_pipe()])


@cache
def _parent_pipe() -> int:
    """The read end of a pipe whose write end is open as long as this process lives."""
    return os.pipe()[0]


def _environment(threads: int) -> dict[str, str]:
    # The log of a killed job has its last words, and no module is of the current folder.
    python = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
    own = {PARENT_PIPE: str(_parent_pipe()), **python}
    return {**os.environ, **thread_variables(threads), **own}


def _tell_to_end(process: _Process) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)


def _kill_group(process: _Process) -> None:
    """Kills a job, if it still runs, and whatever it left in its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _progress(job: Job, state: str) -> JobProgress:
    """Where a job stands by the last line that it wrote."""
    figures = last_progress(job.folder) or {"step": 0, "steps": 0}
    return JobProgress(job.name, state, figures.pop("step"), figures.pop("steps"), figures)
