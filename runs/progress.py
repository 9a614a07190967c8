"""Progress: workers append lines to a file, their parent draws bars or prints plain lines."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, TextIO, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from common.files import naming
from common.messages import is_quiet, is_verbose
from common.units import format_seconds
from runs.notebook import NotebookDisplay, in_notebook
from runs.store import LOG_NAME, PROGRESS_NAME

Item = TypeVar("Item")

_TAIL_BYTES = 4096
_PLAIN_SECONDS = 10.0
_VERBOSE_SECONDS = 2.0
_QUICK_SECONDS = 1.0
_REPORT_SECONDS = 2.0
_WORKING_SECONDS = 1.0


@dataclass(frozen=True)
class JobProgress:
    """Where one job stands.

    Attributes:
        name: The job's name.
        state: `running`, `done`, `failed`, `stopped` when it was wanted no more, or `interrupted`
            when it was told to end with the program.
        step: Steps taken.
        steps: Steps to take; 0 while unknown.
        figures: What else the worker reported, such as `clips_per_second` or `loss`.
    """

    name: str
    state: str
    step: int = 0
    steps: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)


def append_progress(folder: Path, step: int, steps: int, **figures: Any) -> None:
    """Appends one line to `folder/progress.jsonl`, for the parent to draw.

    The file is a display, not a record: nothing is ever computed from it, so it is appended to
    in place and a torn last line is left out by the reader.
    """
    path = folder / PROGRESS_NAME
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "steps": steps, **figures}) + "\n")


def append_log(folder: Path, text: str) -> None:
    """Appends a line with the time to `folder/log.txt`, for people; no run fails for want of it."""
    with suppress(OSError), (folder / LOG_NAME).open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def reported(
    items: Iterable[Item], folder: Path | None, steps: int, **figures: Any
) -> Iterator[Item]:
    """Yields `items`, and appends to `folder/progress.jsonl` how many of `steps` have passed.

    It does so every few seconds: a job that reports nothing for long counts as hanging.

    Args:
        items: What is yielded.
        folder: The job's; None: nothing is appended.
        steps: How many there are.
        figures: What stands beside the steps, such as what is done.
    """
    shown = time.monotonic()
    for step, item in enumerate(items, start=1):
        yield item
        if folder is not None and time.monotonic() - shown > _REPORT_SECONDS:
            shown = time.monotonic()
            append_progress(folder, step, steps, **figures)


def last_progress(folder: Path) -> dict[str, Any] | None:
    """The last whole line of `folder/progress.jsonl`; None when there is none."""
    try:
        with (folder / PROGRESS_NAME).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return None
    for line in reversed(lines):
        with suppress(ValueError, TypeError, KeyError):
            value: dict[str, Any] = json.loads(line)
            if isinstance(value["step"], int) and isinstance(value["steps"], int):
                return value
    return None


class ProgressDisplay:
    """Draws jobs as bars with a rate and an estimate on a terminal, as plain lines elsewhere.

    In a notebook the lines of the jobs that run replace each other.

    A plain line is printed when a job starts, ends, and every ten seconds in between, with `-v`
    every two; nothing is shown with `-q`.

    Args:
        stream: Where to draw; standard error by default.

    Example:
        >>> with ProgressDisplay(stream=sys.stdout) as display:
        ...     display.update(JobProgress("netvlad", "running", 50, 100, {"loss": 0.25}))
        netvlad: 50/100 loss 0.25
    """

    # When any display of this process last showed something.
    last_shown: ClassVar[float] = 0.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(file=self._stream),
        )
        self._notebook = NotebookDisplay() if stream is None and in_notebook() else None
        self._rows: dict[str, TaskID] = {}
        self._printed: dict[str, tuple[str, float]] = {}
        self._has_shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rows:
            self._bars.stop()
        if self._notebook:
            self._notebook.flush()

    @property
    def has_shown(self) -> bool:
        """Whether there was anything to show."""
        return self._has_shown

    def update(self, progress: JobProgress) -> None:
        """Shows where a job stands now."""
        if is_quiet():
            return
        self._has_shown = True
        ProgressDisplay.last_shown = time.monotonic()
        if self._stream.isatty():
            self._draw(progress)
        elif self._notebook:
            self._notebook.update(progress.name, _line(progress), progress.state == "done")
        else:
            self._print(progress)

    def _draw(self, progress: JobProgress) -> None:
        self._bars.start()
        if progress.name not in self._rows:
            self._rows[progress.name] = self._bars.add_task(progress.name, total=None, figures="")
        self._bars.update(
            self._rows[progress.name],
            completed=progress.step,
            total=progress.steps or None,
            figures=_ending(progress),
        )

    def _print(self, progress: JobProgress) -> None:
        now = time.monotonic()
        state, when = self._printed.get(progress.name, ("", 0.0))
        between = _VERBOSE_SECONDS if is_verbose() else _PLAIN_SECONDS
        if state == progress.state and now - when < between:
            return
        self._printed[progress.name] = (progress.state, now)
        print(_line(progress), file=self._stream, flush=True)


def _line(progress: JobProgress) -> str:
    started = "started" if progress.state == "running" and not progress.figures else ""
    counts = f"{progress.step}/{progress.steps}" if progress.steps else started
    words = [f"{progress.name}:", counts, _ending(progress)]
    return " ".join(word for word in words if word)


def _ending(progress: JobProgress) -> str:
    words = [] if progress.state == "running" else [progress.state]
    for key, value in progress.figures.items():
        short = f"{value:.4g}" if isinstance(value, float) else value
        words.append(f"{key.replace('_', ' ')} {short}")
    return ", ".join(words)


@contextmanager
def working(name: str, stream: TextIO | None = None) -> Iterator[None]:
    """Shows that work goes on which cannot say how far it is, and how long it has taken.

    It is not shown in the first ten seconds, nor while something else is.
    """
    began = time.monotonic()
    ended = threading.Event()

    def elapsed() -> dict[str, str]:
        return {"elapsed": format_seconds(time.monotonic() - began)}

    def show(display: ProgressDisplay) -> None:
        while not ended.wait(_WORKING_SECONDS):
            if time.monotonic() - max(began, ProgressDisplay.last_shown) >= _PLAIN_SECONDS:
                display.update(JobProgress(name, "running", figures=elapsed()))

    with ProgressDisplay(stream) as display:
        thread = threading.Thread(target=show, args=(display,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        if display.has_shown:
            display.update(JobProgress(name, "done", figures=elapsed()))


def track(
    items: Iterable[Item], name: str, steps: int, stream: TextIO | None = None
) -> Iterator[Item]:
    """Yields `items`, showing how many of `steps` have passed and how many pass a second.

    It shows itself as in `ProgressDisplay`, under `name`, and not at all where it takes less than a
    second.

    Example:
        >>> list(track("abc", "predict", 3))
        ['a', 'b', 'c']
    """
    began = time.monotonic()
    with ProgressDisplay(stream) as display:
        for step, item in enumerate(items, start=1):
            yield item
            seconds = time.monotonic() - began
            if seconds >= _QUICK_SECONDS:
                state = "done" if step == steps else "running"
                figures = {"per_second": step / seconds}
                display.update(JobProgress(name, state, step, steps, figures))
