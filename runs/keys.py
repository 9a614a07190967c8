"""Content keys: one hash for what a task was made from."""

import hashlib
import json
from typing import Any

from common.codec import to_plain
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
    plain = to_plain(value, "inputs", RunError)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
