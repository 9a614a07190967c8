"""Content keys: one hash for what a task was made from."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from runs.errors import RunError


def content_key(value: Any) -> str:
    """The sha256, in hex, of the canonical JSON of `value`.

    Dataclasses count as the mapping of their fields, tuples as lists, paths as their text, numpy
    numbers as Python's; the order of a mapping's keys does not matter.

    Raises:
        RunError: A key is no string, or a value is NaN, infinite or of another type; it is named
            by its place, such as `inputs.model.rate`.

    Example:
        >>> content_key({"a": 1, "b": (2, 3)}) == content_key({"b": [2, 3], "a": 1})
        True
    """
    text = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def to_plain(value: Any, place: str = "inputs") -> Any:
    """`value` as the mappings, lists, strings, numbers, booleans and None that JSON knows.

    Raises:
        RunError: As in `content_key`.
    """
    if isinstance(value, enum.Enum):
        return to_plain(value.value, place)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, np.generic):
        return to_plain(value.item(), place)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RunError(f"{place}: {value} has no content key; use a finite number or null")
        return value
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: to_plain(getattr(value, f.name), f"{place}.{f.name}") for f in fields}
    if isinstance(value, Mapping):
        return _plain_mapping(value, place)
    if isinstance(value, (list, tuple)):
        return [to_plain(item, f"{place}[{number}]") for number, item in enumerate(value)]
    raise RunError(f"{place}: a {type(value).__name__} has no content key")


def _plain_mapping(value: Mapping[Any, Any], place: str) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise RunError(f"{place}: the key {key!r} is no string")
    return {key: to_plain(item, f"{place}.{key}") for key, item in value.items()}
