"""What a command may take, divided over what is left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UserError
from runs import Job
from runs.run_time import RunTime, TimeSharing, read_share


def begin(sharing: TimeSharing, folder: Path, name: str) -> float:
    (folder / name).mkdir()
    sharing.begin(Job(name, folder / name, ()))
    return read_share(folder / name)


def test_what_is_left_goes_to_those_that_are_left(tmp_path: Path) -> None:
    now = 50.0
    sharing = TimeSharing(RunTime(1000, lambda: now), "abcd", 1)
    # Of 1,000 seconds 150 are for what follows.
    assert begin(sharing, tmp_path, "a") == pytest.approx(850 / 4)
    # It took less, and the others have more.
    now += 100
    assert begin(sharing, tmp_path, "b") == pytest.approx(0.85 * 900 / 3)
    now += 800
    assert begin(sharing, tmp_path, "c") == pytest.approx(0.85 * 100 / 2)
    # There is none left.
    now += 200
    assert begin(sharing, tmp_path, "d") == 0


def test_two_at_once_have_twice_as_much(tmp_path: Path) -> None:
    now = 0.0
    sharing = TimeSharing(RunTime(1000, lambda: now), "abcd", 2)
    shares = [begin(sharing, tmp_path, name) for name in "ab"]
    assert shares == pytest.approx([425, 425])
    now += 500
    assert begin(sharing, tmp_path, "c") == pytest.approx(0.85 * 500)


def test_without_a_limit_nothing_is_shared(tmp_path: Path) -> None:
    assert RunTime.of(None) is None
    with pytest.raises(UserError, match=r"share\.json"):
        begin(TimeSharing(None, "a", 1), tmp_path, "a")
