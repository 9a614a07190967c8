"""Content keys depend on content alone."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs import RunError, content_key

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False).filter(lambda x: abs(x) != float("inf")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Color(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Outer:
    rate: float
    inner: Inner
    path: Path


def test_dataclasses_paths_numpy_and_enums_count_as_their_plain_values() -> None:
    value = {"o": Outer(0.5, Inner((1, 2)), Path("a/b")), "n": np.int64(3), "c": Color.RED}
    plain = {"c": "red", "n": 3, "o": {"inner": {"sizes": [1, 2]}, "path": "a/b", "rate": 0.5}}
    assert content_key(value) == content_key(plain)


@given(st.dictionaries(st.text(), PLAIN, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert content_key(value) == content_key(dict(reversed(value.items())))


@given(PLAIN, PLAIN)
def test_different_values_have_different_keys(one: Any, other: Any) -> None:
    assert (content_key(one) == content_key(other)) == (repr(_sorted(one)) == repr(_sorted(other)))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def test_the_key_is_stable_across_versions() -> None:
    expected = "43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777"
    assert content_key({"a": 1}) != content_key({"a": 1.0})
    assert content_key({"b": 2, "a": 1}) == expected


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"model": {"rate": float("nan")}}, "inputs.model.rate"),
        ({"rates": [1.0, float("inf")]}, r"inputs.rates\[1\]"),
        ({"a": {1: 2}}, "inputs.a"),
        ({"a": {"s": {1, 2}}}, "inputs.a.s"),
        ({"a": b"bytes"}, "inputs.a"),
        (Inner, "inputs"),
    ],
)
def test_what_has_no_key_is_named_by_its_place(value: Any, place: str) -> None:
    with pytest.raises(RunError, match=place):
        content_key(value)
