"""Keys given in Python, as the command line writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from common.codec import to_plain
from common.errors import ConfigError

# What a key of the command line may consist of between its dots.
_PART = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
# A text that reads as itself, such as /data/demo or 2MB: no number, and none of the words below.
_WORD = re.compile(r"/?[A-Za-z_][A-Za-z0-9_./-]*|\d+[A-DF-Za-df-z][A-Za-z]*")
_NO_TEXTS = {"null", "true", "false", "inf", "nan"}


def as_overrides(keys: Mapping[str, Any]) -> list[str]:
    """The overrides that set keys to values, read back by Hydra as the same.

    A mapping is laid over what a key holds, key by key; so `train={"epochs": 3}` changes nothing
    else of `train`.

    Args:
        keys: Values by key; a key may have dots. Values are texts, numbers, paths, None, lists and
            mappings of them, dataclasses.

    Raises:
        ConfigError: a value is of another type; it names the key.

    Example:
        >>> as_overrides({"budget": "2MB", "train": {"epochs": 3}, "members.a.config.hidden": [8]})
        ['budget=2MB', 'train.epochs=3', 'members.a.config.hidden=[8]']
    """
    return [
        f"{place}={_written(value)}"
        for key, given in keys.items()
        for place, value in _leaves(key, to_plain(given, key, ConfigError))
    ]


def _leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values within a mapping by their dotted keys; one that no key can name stays whole."""
    if isinstance(value, dict) and value and all(map(_PART.fullmatch, value)):
        for key, own in value.items():
            yield from _leaves(f"{place}.{key}", own)
    else:
        yield place, value


def _written(value: Any) -> str:
    """A plain value in Hydra's grammar."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return _text(value)
        case list():
            return f"[{','.join(map(_written, value))}]"
        case dict():
            pairs = (f"{_escaped(key)}:{_written(own)}" for key, own in value.items())
            return f"{{{','.join(pairs)}}}"
        case _:
            return repr(value)


def _text(value: str) -> str:
    if _WORD.fullmatch(value) and value.lower() not in _NO_TEXTS:
        return value
    return str(QuotedString(value, Quote.single).with_quotes())


def _escaped(key: str) -> str:
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", key)
