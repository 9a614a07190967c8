"""Ids that every file survives which is keyed by them."""

from __future__ import annotations

import pytest

from records import DataError
from records.clip import LONGEST_ID, check_id


@pytest.mark.parametrize(
    "clip_id", ["a", "x y", '"', "a,b", "é" * (LONGEST_ID // 2), "\u202e", "-"]
)
def test_ids_that_are_taken(clip_id: str) -> None:
    check_id(clip_id)


@pytest.mark.parametrize(
    ("clip_id", "message"),
    [
        ("", "the id is empty"),
        ("x\0", r"the id 'x\\x00' holds a control character"),
        ("a\rb", r"the id 'a\\rb' holds a control character"),
        ("a\nb", "holds a control character"),
        ("\x1b[2J", r"the id '\\x1b\[2J' holds a control character"),
        ("a\x85b", "holds a control character"),
        ("a\u2028b", "holds a control character"),
        ("\ud800", r"the id '\\ud800' is no Unicode text"),
        ("é" * (LONGEST_ID // 2 + 1), "has 258 bytes, more than 256; shorten it"),
    ],
)
def test_ids_that_are_not(clip_id: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_id(clip_id)


def test_a_long_id_is_quoted_in_part() -> None:
    with pytest.raises(DataError) as error:
        check_id("x\n" * 50_000)
    assert str(error.value).isprintable() and len(str(error.value)) < 300
