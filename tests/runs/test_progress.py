"""Progress lines are written, read and shown."""

from __future__ import annotations

import io
import itertools
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.messages import Verbosity, set_verbosity
from runs import JobProgress, ProgressDisplay, append_progress, progress, track, working
from runs.progress import last_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_last_whole_line_is_read(tmp_path: Path) -> None:
    assert last_progress(tmp_path) is None
    append_progress(tmp_path, 1, 10, loss=0.5)
    append_progress(tmp_path, 2, 10, loss=0.25, phase="averaging")
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"step": 3, "st')
    assert last_progress(tmp_path) == {"step": 2, "steps": 10, "loss": 0.25, "phase": "averaging"}


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_text("x" * 1_000_000)
    assert last_progress(tmp_path) is None
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write("\n")
    append_progress(tmp_path, 7, 10)
    assert last_progress(tmp_path) == {"step": 7, "steps": 10}


@pytest.mark.parametrize("line", ["[]", "{}", '{"step": "1", "steps": 2}', "nonsense", "\xff"])
def test_a_foreign_line_is_left_out(tmp_path: Path, line: str) -> None:
    (tmp_path / "progress.jsonl").write_text(line + "\n")
    assert last_progress(tmp_path) is None


def test_plain_lines_elsewhere() -> None:
    stream = io.StringIO()
    with ProgressDisplay(stream) as display:
        display.update(JobProgress("netvlad", "running"))
        for step in range(1, 50):
            display.update(JobProgress("netvlad", "running", step, 100))
        display.update(JobProgress("rnn", "running", 1, 4, {"clips_per_second": 1234.5}))
        display.update(JobProgress("netvlad", "done", 100, 100))
        display.update(JobProgress("rnn", "failed", 2, 4))
        display.update(JobProgress("dbof", "failed"))
    assert stream.getvalue().splitlines() == [
        "netvlad: started",
        "rnn: 1/4 clips per second 1234",
        "netvlad: 100/100 done",
        "rnn: 2/4 failed",
        "dbof: failed",
    ]


def test_bars_on_a_terminal() -> None:
    stream = Terminal()
    with ProgressDisplay(stream) as display:
        display.update(JobProgress("netvlad", "running"))
        display.update(JobProgress("netvlad", "running", 5, 10, {"loss": 0.5}))
    assert "netvlad" in stream.getvalue()
    assert "5/10" in stream.getvalue()


def test_a_display_of_nothing_draws_nothing() -> None:
    stream = Terminal()
    with ProgressDisplay(stream):
        pass
    assert stream.getvalue() == ""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that progress is told; `items` lets some of it pass before each."""
    clock = SimpleNamespace(now=100.0)

    def items(count: int, seconds: float) -> Iterator[int]:
        for item in range(count):
            clock.now += seconds
            yield item

    clock.items = items
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_track_prints_a_line_every_ten_seconds(clock: SimpleNamespace) -> None:
    stream = io.StringIO()
    assert list(track(clock.items(50, 0.5), "predict", 50, stream)) == list(range(50))
    assert stream.getvalue().splitlines() == [
        "predict: 2/50 per second 2",
        "predict: 22/50 per second 2",
        "predict: 42/50 per second 2",
        "predict: 50/50 done, per second 2",
    ]


def test_track_draws_a_bar_on_a_terminal(clock: SimpleNamespace) -> None:
    stream = Terminal()
    assert list(track(clock.items(6, 0.5), "predict", 6, stream)) == list(range(6))
    assert "6/6" in stream.getvalue() and "done, per second 2" in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_track_shows_nothing_of_what_is_quick(clock: SimpleNamespace, stream: io.StringIO) -> None:
    assert list(track(clock.items(9, 0.1), "predict", 9, stream)) == list(range(9))
    assert stream.getvalue() == ""


def test_track_closes_when_left_early(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    for item in track(clock.items(5, 2), "predict", 5, stream):
        if item == 1:
            break
    # What hid the cursor shows it again.
    assert "predict" in stream.getvalue()
    assert stream.getvalue().rfind("\x1b[?25h") > stream.getvalue().rfind("\x1b[?25l")


def test_work_that_cannot_say_how_far_it_is_says_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = itertools.count(100.0, 4.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(progress, "_WORKING_SECONDS", 0.001)
    stream = io.StringIO()
    with working("selection", stream):
        while "elapsed" not in stream.getvalue():
            threading.Event().wait(0.001)
    first, *_, last = stream.getvalue().splitlines()
    assert re.fullmatch(r"selection: elapsed \d+:\d\d", first)
    assert re.fullmatch(r"selection: done, elapsed \d+:\d\d", last)


def test_work_that_is_quick_says_nothing() -> None:
    stream = io.StringIO()
    with working("selection", stream):
        pass
    assert stream.getvalue() == ""


def test_quiet_shows_nothing_and_verbose_more(clock: SimpleNamespace) -> None:
    shown: dict[Verbosity, int] = {}
    every: tuple[Verbosity, ...] = ("quiet", "normal", "verbose")
    for verbosity in every:
        stream = io.StringIO()
        set_verbosity(verbosity)
        try:
            list(track(clock.items(40, 0.5), "predict", 40, stream))
        finally:
            set_verbosity("normal")
        shown[verbosity] = len(stream.getvalue().splitlines())
    assert shown == {"quiet": 0, "normal": 3, "verbose": 11}
