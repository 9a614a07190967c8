"""Runs independent jobs at once, each in a process of its own, so that one death is one failure."""

import math
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from common import system_errors
from runs.errors import RunError
from runs.failures import MACHINE_FAILED, Result, describe_exit, log_tail, notes_of, why_silent
from runs.forks import wait_for_news
from runs.processes import (
    Job,
    Process,
    kill_group,
    open_log,
    start_process,
    tell_to_end,
)
from runs.progress import JobProgress, last_progress
from runs.store import LOG_NAME
from runs.traces import traces_of

_POLL_SECONDS = 0.1
_CHECKPOINT_SECONDS = 60.0
# How long a job that hangs has to end when it is told to, and the kernel to end it when it is not.
_GRACE_SECONDS = 10.0
# A poll that comes later than that found this process stopped, and perhaps the jobs with it.
_COUNTED_SECONDS = 1.0
# How a job ends that was told to: after a checkpoint, or at once.
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL)


class JobSource(Protocol):
    """Where jobs come from that are thought of while others run."""

    def take(self) -> Job | None:
        """The next job; None: there is none now, and it is asked again soon.

        Its name and its folder are of no other job that runs.
        """

    def is_exhausted(self) -> bool:
        """Whether there will be no further job, unless one that runs leads to it."""

    def ended(self, result: Result) -> None:
        """Is told how a job ended, unless that was with this process."""

    def is_wanted(self, job: Job) -> bool:
        """Whether a job that runs is to go on; asked again and again, so it has to be quick."""


class _Listed:
    """Jobs that are known beforehand."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = deque(jobs)
        self.results: dict[str, Result] = {}

    def take(self) -> Job | None:
        return self._jobs.popleft() if self._jobs else None

    def is_exhausted(self) -> bool:
        return not self._jobs

    def ended(self, result: Result) -> None:
        self.results[result.name] = result

    def is_wanted(self, job: Job) -> bool:
        return True


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
    for job in jobs:
        _check(f"{job.name}: threads", job.threads)
    for values in ([job.name for job in jobs], [str(job.folder) for job in jobs]):
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise RunError(f"two jobs share {twice[0]}: give each its own name and folder")
    source = _Listed(jobs)
    run_source(
        source,
        parallel,
        silent_seconds=silent_seconds,
        on_progress=on_progress,
        on_start=on_start,
    )
    return [source.results[job.name] for job in jobs if job.name in source.results]


def run_source(
    source: JobSource,
    parallel: int,
    *,
    silent_seconds: float = math.inf,
    on_progress: Callable[[JobProgress], None] = lambda progress: None,
    on_start: Callable[[Job], None] = lambda job: None,
) -> None:
    """Runs the jobs of `source`, each asked for when a process is free, until there are no more.

    Otherwise as `run_jobs`.

    Raises:
        RunError: `parallel` is below 1.
        Exception: What `source` raises; the jobs that run are killed.
    """
    _check("parallel", parallel)
    with _signals() as received:
        batch = _Batch(source, silent_seconds, on_progress, on_start, received)
        try:
            while not (received or source.is_exhausted()) or batch.running:
                if received:
                    batch.stop(kill=len(received) > 1)
                elif not batch.start_up_to(parallel) and not batch.running:
                    # It is waited for what is done elsewhere.
                    time.sleep(_POLL_SECONDS)
                batch.collect()
                wait_for_news([entry.process for entry in batch.running], _POLL_SECONDS)
        finally:
            batch.close()
    if received:
        signal.raise_signal(received[0])


def _check(what: str, number: int) -> None:
    if number < 1:
        raise RunError(f"{what}={number}: at least 1 is needed")


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
        deadline: When it is killed, once it was told to end because it was silent or unwanted.
        unwanted: Whether it was told so since its source does not want it any more.
    """

    job: Job
    process: Process
    log_start: int
    shown: JobProgress
    traces: object = None
    silent: float = 0.0
    deadline: float | None = None
    unwanted: bool = False

    def listen(self, seconds: float) -> None:
        """Counts `seconds` more of silence, unless it moved."""
        traces = traces_of(self.job.folder, self.process.pid)
        self.silent = 0.0 if traces != self.traces else self.silent + seconds
        self.traces = traces


@dataclass
class _Batch:
    """The jobs of one call: those that run, and where the others come from."""

    source: JobSource
    silent_seconds: float
    on_progress: Callable[[JobProgress], None]
    on_start: Callable[[Job], None]
    signals: Sequence[int]
    running: list[_Running] = field(default_factory=list)
    stop_deadline: float | None = None
    polled: float = field(default_factory=time.monotonic)

    def start_up_to(self, parallel: int) -> bool:
        """Fills the places that are free, as far as there are jobs; whether there was one."""
        found = False
        while len(self.running) < parallel and not self.signals:
            job = self.source.take()
            if job is None:
                break
            found = True
            self._start(job)
        return found

    def _start(self, job: Job) -> None:
        try:
            log = open_log(job.folder)
            self.on_start(job)
        except OSError as error:
            status = 2 if system_errors.is_of_path(error) else MACHINE_FAILED
            self._end(job, _not_started(job, status, system_errors.describe(error)))
            return
        with log:
            start = log.tell()
            try:
                process = start_process(job, log, lambda: not self.signals)
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
                code = self._end_silent_or_unwanted(entry)
            if code is not None:
                self.running.remove(entry)
                kill_group(entry.process)
                self._end(entry.job, self._result(entry, code))

    def _end_silent_or_unwanted(self, entry: _Running) -> int | None:
        """Ends a job that hangs or is unwanted; the code of one that the kernel cannot end."""
        now = time.monotonic()
        if entry.deadline is None:
            entry.unwanted = not (self.signals or self.source.is_wanted(entry.job))
            if entry.unwanted or entry.silent > self.silent_seconds:
                entry.deadline = now + _GRACE_SECONDS
                tell_to_end(entry.process)
        elif now > entry.deadline:
            kill_group(entry.process)
            if now > entry.deadline + _GRACE_SECONDS:
                return -signal.SIGKILL
        return None

    def _result(self, entry: _Running, code: int) -> Result:
        log = entry.job.folder / LOG_NAME
        tail = log_tail(log, entry.log_start)
        if code == 0:
            return Result(entry.job.name, 0, describe_exit(0), log, tail, notes_of(tail))
        ending = describe_exit(code)
        if entry.unwanted:
            return Result(entry.job.name, code, "was wanted no more", log, tail, unwanted=True)
        if entry.deadline is not None:
            minutes = self.silent_seconds / 60
            ending = f"made no progress for {minutes:g} minutes and was ended"
        if not tail:
            ending += f"; {why_silent(log)}"
        return Result(entry.job.name, code, ending, log, tail)

    def _end(self, job: Job, result: Result) -> None:
        state = "failed" if result.returncode else "done"
        if result.unwanted:
            state = "stopped"
        elif self.stop_deadline is not None and result.returncode in _STOPPED:
            state = "interrupted"
        self.on_progress(_progress(job, state))
        if state != "interrupted":
            self.source.ended(result)

    def stop(self, *, kill: bool) -> None:
        """Asks what runs to end; kills it when told to, or when it takes too long."""
        if self.stop_deadline is None:
            self.stop_deadline = time.monotonic() + _CHECKPOINT_SECONDS
            for entry in self.running:
                tell_to_end(entry.process)
        if kill or time.monotonic() > self.stop_deadline:
            self._kill()

    def close(self) -> None:
        """Leaves no process behind, also when an exception passes through."""
        self._kill()
        while any(entry.process.poll() is None for entry in self.running):
            time.sleep(_POLL_SECONDS)

    def _kill(self) -> None:
        for entry in self.running:
            kill_group(entry.process)


def _not_started(job: Job, code: int, why: str) -> Result:
    return Result(job.name, code, f"could not be started: {why}", job.folder / LOG_NAME)


def _progress(job: Job, state: str) -> JobProgress:
    """Where a job stands by the last line that it wrote."""
    figures = last_progress(job.folder) or {"step": 0, "steps": 0}
    return JobProgress(job.name, state, figures.pop("step"), figures.pop("steps"), figures)
