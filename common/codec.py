"""Frozen dataclasses from and to plain data (JSON, YAML), strictly, with their fields' bounds.

A field says what it takes: `size: Annotated[int, Ge(1)]`, with the bounds of `annotated_types`.
What needs several fields is said by `__post_init__`, which raises a ValueError. pydantic does the
checking; it is imported where it is used, since it takes 50 ms.

Everywhere `place` is the dotted name of a value, for messages, and `error` what is raised; its
message is one line that names the place.
"""

import dataclasses
import enum
import functools
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Annotated, Any, NoReturn, TypeVar

from annotated_types import Ge, Le, Lt

from common.errors import UserError
from common.problems import at, first_flood, first_problem, joined, one_line, quoted, step

T = TypeVar("T")

# pydantic reads JSON to a depth of 200, and Python prints an integer up to 4,300 digits: what goes
# beyond is nobody's configuration.
_MAX_DEPTH = 100
_MAX_BITS = 1023
# Characters of JSON, from which on it is worth a look whether pydantic would drown in it.
_LONG = 100_000
# What pydantic calls the types of literals.
_KINDS = {int: "int", bool: "bool", str: "str"}
# What JSON is read as: almost all that there is to look at.
_AS_READ = frozenset({str, int, float, bool, type(None), list, dict})


class _NumberAsText:
    """Lets a text be given as a number, which the command line makes of `run=2024`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(
            lambda value: str(value) if type(value) in (int, float) else value, handler(source)
        )


Positive = Annotated[int, Ge(1)]
# Of what is built one by one: a number from a file must not keep a machine busy.
Depth = Annotated[int, Ge(1), Le(100)]
Share = Annotated[float, Ge(0), Lt(1)]
Text = Annotated[str, _NumberAsText()]


def to_plain(value: Any, place: str = "value", error: type[Exception] = UserError) -> Any:
    """`value` as the mappings, lists, strings, numbers, booleans and None that JSON knows.

    Dataclasses become the mapping of their fields, tuples lists, paths their text, enums their
    value and numpy's numbers Python's.

    Raises:
        error: A key is no string, or a value is NaN, infinite, beyond every float, no Unicode, or
            of another type.
    """
    try:
        return _plain(value, _MAX_DEPTH)
    except _NotPlain as problem:
        path = "".join(reversed(problem.steps))
        raise error(at(joined(place, path), problem.reason)) from None


def from_plain(cls: type[T], value: Any, place: str, error: type[Exception] = UserError) -> T:
    """Builds the dataclass `cls` from a mapping; fields that are absent keep their default.

    Its fields are numbers, texts, paths, Literal, tuples, mappings, dataclasses again, or unions of
    these. Types are taken strictly: `true` is no number, `1.0` no integer, `"1"` neither; an
    integer is a float.

    Raises:
        error: A key is unknown or missing, a value has the wrong type or is out of bounds, or the
            class refuses it; the first one is named.
    """
    from pydantic import ValidationError
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

    plain = to_plain(value, place, error)
    text = json.dumps([plain])
    if len(text) > _LONG:
        flood = first_flood(cls, plain, place)
        if flood is not None:
            raise error(flood)
    try:
        built: tuple[T] = _validator(cls).validate_json(text)  # type: ignore[arg-type]
    except ValidationError as invalid:
        problems = invalid.errors(include_url=False, include_input=False)
        raise error(first_problem(cls, plain, problems, place, error)) from None
    except (PydanticUndefinedAnnotation, PydanticUserError) as problem:
        # The class may be of a user's own file.
        raise error(at(place, f"{cls.__name__} is not readable: {one_line(problem)}")) from None
    return built[0]


def check(instance: Any, place: str, error: type[Exception] = UserError) -> None:
    """Holds a dataclass that was built in Python against its fields' types and bounds.

    Raises:
        error: As in `from_plain`.
    """
    from_plain(type(instance), instance, place, error)


def replaced(
    base: T, changes: Mapping[str, Any], place: str, error: type[Exception] = UserError
) -> T:
    """`base` with some fields from plain data; those of a nested dataclass are laid over its own.

    Raises:
        error: As in `from_plain`.
    """
    return from_plain(type(base), _laid_over(base, changes), place, error)


def parse_json(data: bytes | str, place: str, error: type[Exception] = UserError) -> Any:
    """Strict JSON: no key twice, no NaN, no infinity.

    Raises:
        error: It is not; the message opens with `place`.
    """
    try:
        return json.loads(
            data,
            object_pairs_hook=_no_key_twice,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as problem:
        raise error(at(place, f"not JSON: {one_line(problem)}")) from None


def count_values(text: bytes | str) -> int:
    """How many values a JSON text holds at most, without reading it; a key and its value are one.

    Commas and brackets within strings count as well.
    """
    data = text if isinstance(text, bytes) else text.encode(errors="replace")
    return 1 + sum(data.count(mark) for mark in (b",", b"[", b"{"))


def read_yaml(path: str | Path, error: type[Exception] = UserError) -> Any:
    """What a YAML file holds.

    Raises:
        error: There is no such file, or it is not UTF-8 or not YAML; the message opens with `path`.
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: not UTF-8: {one_line(problem)}") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}") from None
    try:
        return yaml.safe_load(text)
    # Its constructors let ValueErrors, LookupErrors and others out, such as for `!!bool maybe`.
    except Exception as problem:
        raise error(f"{path}: not YAML: {one_line(problem)}") from None


class _NotPlain(Exception):
    """Why a value is nothing that JSON knows, and the way to it, its last step first."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.steps: list[str] = []


def _plain(value: Any, depth: int) -> Any:
    if depth == 0:
        raise _NotPlain(f"nested more than {_MAX_DEPTH} deep")
    if type(value) not in _AS_READ:
        value = _unwrapped(value)
    if isinstance(value, Mapping):
        return {_key(key): _inside(key, item, depth) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_inside(i, item, depth) for i, item in enumerate(value)]
    reason = _refusal(value)
    if reason:
        raise _NotPlain(reason)
    return value


def _inside(key: Any, item: Any, depth: int) -> Any:
    try:
        return _plain(item, depth - 1)
    except _NotPlain as problem:
        problem.steps.append(step(key))
        raise


def _unwrapped(value: Any) -> Any:
    """What a value of another type than JSON's stands for; itself where there is nothing."""
    numpy = sys.modules.get("numpy")
    if isinstance(value, enum.Enum):
        return value.value
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, (str, PurePath)):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    return value


def _key(key: Any) -> str:
    reason = _refusal(key) if isinstance(key, str) else f"the key {quoted(key)} is no string"
    if reason:
        raise _NotPlain(reason)
    return key


def _refusal(value: Any) -> str | None:
    """Why JSON does not take a text, a number or whatever else it is; None where it does."""
    if isinstance(value, str):
        # Lone surrogates cannot be encoded.
        valid = value.isascii() or value.encode(errors="replace").decode() == value
        return None if valid else f"{quoted(value)} is no valid Unicode"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not finite; use a finite number or null"
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return f"an integer of {value.bit_length()} bits is beyond every float"
    known = value is None or isinstance(value, (int, float))
    return None if known else f"a {type(value).__name__} cannot be written as JSON"


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _laid_over(base: Any, changes: Any) -> Any:
    if not dataclasses.is_dataclass(base) or not isinstance(changes, Mapping):
        return changes
    own = _fields(base)
    return own | {key: _laid_over(own.get(key), value) for key, value in changes.items()}


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice")
    return values


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_constant(text)


@functools.cache
def _validator(cls: type) -> Any:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic_core import SchemaValidator

    # The configuration of a bare stdlib dataclass cannot be given; that of a tuple reaches into it.
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    adapter: TypeAdapter[Any] = TypeAdapter(tuple[cls], config=config)  # type: ignore[valid-type]
    # Of a name that it does not find it would speak at the first use only.
    adapter.rebuild()
    _adjust(adapter.core_schema)
    return SchemaValidator(adapter.core_schema)


def _adjust(schema: Any) -> None:
    """Makes lists stop at their first problem, and literal numbers be of their own type.

    A million problems of a hostile file would take gigabytes; and since Python holds them for
    equal, `true` and `1.0` would be the literal 1.
    """
    if isinstance(schema, dict):
        if schema.get("type") in ("tuple", "list", "dict"):
            schema["fail_fast"] = True
        if schema.get("type") == "literal":
            _hold_to_type(schema)
            return
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _adjust(part)


def _hold_to_type(literal: dict[str, Any]) -> None:
    kinds = {type(value) for value in literal["expected"]}
    if kinds == {str} or not kinds <= _KINDS.keys():
        return
    of_type = [{"type": _KINDS[kind], "strict": True} for kind in kinds]
    steps = [{"type": "union", "choices": of_type}, dict(literal)]
    literal.clear()
    literal.update(type="chain", steps=steps)
