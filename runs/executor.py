"""Runs independent jobs at once, each in a process of its own, so that one death is one failure."""

import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from common import system_errors
from runs.errors import RunError
from runs.failures import MACHINE_FAILED, Result, log_tail, notes_of, why_silent
from runs.local import LocalMachine
from runs.machines import Machines, Started
from runs.processes import Job, open_log
from runs.progress import JobProgress, last_progress
from runs.sources import JobSource, Listed
from runs.store import LOG_NAME

_POLL_SECONDS = 0.1
_CHECKPOINT_SECONDS = 60.0
# How long a job that hangs has to end when it is told to, and the kernel to end it when it is not.
_GRACE_SECONDS = 10.0
# A poll that comes later than that found this process stopped, and perhaps the jobs with it.
_COUNTED_SECONDS = 1.0
# How a job ends that was told to: after a checkpoint, or at once.
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL)


def run_jobs(
    jobs: Sequence[Job],
    parallel: int | None,
    *,
    machines: Machines | None = None,
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
        parallel: How many run at once, at least 1; None: as many as `machines` hold.
        machines: What they run on; None: this machine.
        silent_seconds: A job that has moved neither its progress nor its log for so long, and read
            nothing, hangs: it is ended, and has failed.
        on_progress: Is told where a job stands whenever that changes.
        on_start: Is told of a job just before it starts; its folder is there.

    Returns:
        The result of each job, in the order of `jobs`.

    Raises:
        RunError: Two jobs share a name or a folder, or a number is below 1, or the machines cannot
            be reached.
    """
    for job in jobs:
        _check(f"{job.name}: threads", job.threads)
    for values in ([job.name for job in jobs], [str(job.folder) for job in jobs]):
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise RunError(f"two jobs share {twice[0]}: give each its own name and folder")
    source = Listed(jobs)
    run_source(
        source,
        parallel,
        machines=machines,
        silent_seconds=silent_seconds,
        on_progress=on_progress,
        on_start=on_start,
    )
    return [source.results[job.name] for job in jobs if job.name in source.results]


def run_source(
    source: JobSource,
    parallel: int | None,
    *,
    machines: Machines | None = None,
    silent_seconds: float = math.inf,
    on_progress: Callable[[JobProgress], None] = lambda progress: None,
    on_start: Callable[[Job], None] = lambda job: None,
) -> None:
    """Runs the jobs of `source`, each asked for when a process is free, until there are no more.

    Otherwise as `run_jobs`.

    Raises:
        RunError: `parallel` is below 1, or the machines cannot be reached.
        Exception: What `source` raises; the jobs that run are killed.
    """
    _check("parallel", parallel)
    machines = machines or LocalMachine()
    machines.prepare()
    with _signals() as received:
        batch = _Batch(source, machines, silent_seconds, on_progress, on_start, received)
        try:
            while not (received or source.is_exhausted()) or batch.running:
                if received:
                    batch.stop(kill=len(received) > 1)
                elif not batch.start_up_to(parallel) and not batch.running:
                    # It is waited for what is done elsewhere.
                    time.sleep(_POLL_SECONDS)
                batch.collect()
                machines.wait([entry.process for entry in batch.running], _POLL_SECONDS)
        finally:
            batch.close()
    if received:
        signal.raise_signal(received[0])


def _check(what: str, number: int | None) -> None:
    if number is not None and number < 1:
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
        traces: Those of it, such as its progress and its log, when one of them last moved.
        silent: Seconds since then.
        deadline: When it is killed, once it was told to end because it was silent or unwanted.
        unwanted: Whether it was told so since its source does not want it any more.
    """

    job: Job
    process: Started
    log_start: int
    shown: JobProgress
    traces: object = None
    silent: float = 0.0
    deadline: float | None = None
    unwanted: bool = False

    def listen(self, seconds: float) -> None:
        """Counts `seconds` more of silence, unless it moved."""
        traces = self.process.traces()
        self.silent = 0.0 if traces != self.traces else self.silent + seconds
        self.traces = traces


@dataclass
class _Batch:
    """The jobs of one call: those that run, and where the others come from."""

    source: JobSource
    machines: Machines
    silent_seconds: float
    on_progress: Callable[[JobProgress], None]
    on_start: Callable[[Job], None]
    signals: Sequence[int]
    running: list[_Running] = field(default_factory=list)
    stop_deadline: float | None = None
    polled: float = field(default_factory=time.monotonic)

    def start_up_to(self, parallel: int | None) -> bool:
        """Fills the places that are free, as far as there are jobs; whether there was one."""
        found = False
        while self._has_room(parallel) and not self.signals:
            job = self.source.take()
            if job is None:
                break
            found = True
            self._start(job)
        return found

    def _has_room(self, parallel: int | None) -> bool:
        if parallel is not None:
            return len(self.running) < parallel
        following = self.source.next_like()
        at_once = [*(entry.job for entry in self.running), *([following] if following else [])]
        # One that takes more than there is runs by itself.
        return not self.running or self.machines.capacity().holds(at_once)

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
                process = self.machines.start(
                    job, log, lambda: not self.signals, self.silent_seconds
                )
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
                entry.process.kill()
                self._end(entry.job, self._result(entry, code))

    def _end_silent_or_unwanted(self, entry: _Running) -> int | None:
        """Ends a job that hangs or is unwanted; the code of one that the kernel cannot end."""
        now = time.monotonic()
        if entry.deadline is None:
            entry.unwanted = not (self.signals or self.source.is_wanted(entry.job))
            if entry.unwanted or entry.silent > self.silent_seconds:
                entry.deadline = now + _GRACE_SECONDS
                entry.process.tell_to_end()
        elif now > entry.deadline:
            entry.process.kill()
            if now > entry.deadline + _GRACE_SECONDS:
                return -signal.SIGKILL
        return None

    def _result(self, entry: _Running, code: int) -> Result:
        log = entry.job.folder / LOG_NAME
        tail = log_tail(log, entry.log_start)
        ending = entry.process.ending(code)
        if code == 0:
            return Result(entry.job.name, 0, ending, log, tail, notes_of(tail))
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
                entry.process.tell_to_end()
        if kill or time.monotonic() > self.stop_deadline:
            self._kill()

    def close(self) -> None:
        """Leaves no process behind, also when an exception passes through."""
        self._kill()
        while any(entry.process.poll() is None for entry in self.running):
            time.sleep(_POLL_SECONDS)

    def _kill(self) -> None:
        for entry in self.running:
            entry.process.kill()


def _not_started(job: Job, code: int, why: str) -> Result:
    return Result(job.name, code, f"could not be started: {why}", job.folder / LOG_NAME)


def _progress(job: Job, state: str) -> JobProgress:
    """Where a job stands by the last line that it wrote."""
    figures = last_progress(job.folder) or {"step": 0, "steps": 0}
    return JobProgress(job.name, state, figures.pop("step"), figures.pop("steps"), figures)
