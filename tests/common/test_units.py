"""Budgets and times as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.units import format_bytes, parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1GiB", 2**30),
        ("600MB", 600_000_000),
        ("1000000000", 1_000_000_000),
        ("300 kB", 300_000),
        ("1.5 gb", 1_500_000_000),
        (" 2 mib ", 2 * 2**20),
        ("0.1kB", 100),
        ("17B", 17),
        (4096, 4096),
    ],
)
def test_what_is_read(text: str | int, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text",
    ["", "GiB", "1 G", "1GB2", "-1MB", "1e9", "0", "0.5B", "nan", "١٢٣", "1,000", True, "9" * 40],
)
def test_what_is_refused_is_quoted(text: str | int) -> None:
    with pytest.raises(UserError, match=r"^budget=") as caught:
        parse_bytes(text)
    assert "\n" not in str(caught.value)


@given(st.integers(1, 2**60), st.sampled_from(["kB", "MiB", "GB", ""]))
def test_whole_numbers_are_exact(number: int, unit: str) -> None:
    factor = {"kB": 1000, "MiB": 2**20, "GB": 10**9, "": 1}[unit]
    if number < 10**18:
        assert parse_bytes(f"{number}{unit}") == number * factor


def test_formatting() -> None:
    assert format_bytes(999) == "999 B"
    assert format_bytes(1_000) == "1.0 kB"
    assert format_bytes(1_052_000_000) == "1,052.0 MB"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("90m", 5400),
        ("1.5 h", 5400),
        ("45s", 45),
        (120, 7200),
        (0.5, 30),
        ("3 min", 180),
    ],
)
def test_times(text: str | float, seconds: float) -> None:
    assert parse_seconds(text, "time_limit") == seconds


@pytest.mark.parametrize("text", ["", "h", "0", "-1h", "2d", "1h30", "inf", True, "2kB"])
def test_a_time_that_is_none_is_quoted(text: str | bool) -> None:
    with pytest.raises(UserError, match=r"^time_limit=.*: write a time such as 2h, 90m or 45s"):
        parse_seconds(text, "time_limit")
