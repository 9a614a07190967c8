"""Progress lines are written, read and shown."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from runs import JobProgress, ProgressDisplay, append_progress, last_progress, track


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


def test_track_yields_everything_and_counts() -> None:
    stream = io.StringIO()
    assert list(track("abc", "predict", 3, stream)) == ["a", "b", "c"]
    assert stream.getvalue().splitlines() == ["predict: 0/3", "predict: 3/3 done"]


def test_track_closes_when_left_early() -> None:
    stream = Terminal()
    for _ in track(range(5), "predict", 5, stream):
        break
    assert "predict" in stream.getvalue()
