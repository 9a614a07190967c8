"""Frozen dataclasses from and to plain data (JSON, YAML), strictly, with their fields' bounds.

A field says what it takes: `size: Annotated[int, Ge(1)]`, with the bounds of `annotated_types`.
What needs several fields is said by `__post_init__`, which raises a ValueError. pydantic does the
checking; it is imported where it is used, since it takes 50 ms.
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

from annotated_types import Ge, Lt

from common.errors import UserError
from common.problems import at, first_problem, joined, one_line, quoted, step

T = TypeVar("T")

# pydantic reads JSON to a depth of 200, and Python prints an integer up to 4,300 digits: what goes
# beyond is nobody's configuration.
_MAX_DEPTH = 100
_MAX_BITS = 1023


class _NumberAsText:
    """Lets a text be given as a number, which the command line makes of `run=2024`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(
            lambda value: str(value) if type(value) in (int, float) else value, handler(source)
        )


Positive = Annotated[int, Ge(1)]
Share = Annotated[float, Ge(0), Lt(1)]
Text = Annotated[str, _NumberAsText()]


def to_plain(value: Any, place: str = "value", error: type[Exception] = UserError) -> Any:
    """`value` as the mappings, lists, strings, numbers, booleans and None that JSON knows.

    Dataclasses become the mapping of their fields, tuples lists, paths their text, enums their
    value and numpy's numbers Python's.

    Args:
        value: What to convert.
        place: Its dotted name, for messages.
        error: What to raise.

    Raises:
        error: A key is no string, or a value is NaN, infinite, beyond every float, no Unicode, or
            of another type; it is named by its place.
    """
    try:
        return _plain(value, place, _MAX_DEPTH)
    except _NotPlain as problem:
        raise error(str(problem)) from None


def from_plain(cls: type[T], value: Any, place: str, error: type[Exception] = UserError) -> T:
    """Builds the dataclass `cls` from a mapping; fields that are absent keep their default.

    Types are taken strictly: `true` is no number, `1.0` no integer, `"1"` neither; an integer is
    a float.

    Args:
        cls: A dataclass. Its fields are numbers, texts, paths, Literal, tuples, mappings,
            dataclasses again, or unions of these.
        value: Mappings, lists and scalars, as JSON or YAML has them.
        place: The dotted name of the thing, for messages.
        error: What to raise.

    Raises:
        error: A key is unknown or missing, a value has the wrong type or is out of bounds, or the
            class refuses it; the first one is named, in one line.
    """
    from pydantic import ValidationError

    plain = to_plain(value, place, error)
    try:
        built: tuple[T] = _validator(cls, place, error).validate_json(json.dumps([plain]))
    except ValidationError as invalid:
        problems = invalid.errors(include_url=False, include_input=False)
        raise error(first_problem(cls, plain, problems, place, error)) from None
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

    Args:
        base: The dataclass that holds where nothing else is said.
        changes: As `from_plain` takes them.
        place: The name under which the changes were written, for messages.
        error: What to raise.

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
    """What `to_plain` refuses, before it is the caller's error."""


def _plain(value: Any, place: str, depth: int) -> Any:
    if depth == 0:
        raise _NotPlain(at(place, f"nested more than {_MAX_DEPTH} deep"))
    numpy = sys.modules.get("numpy")
    if isinstance(value, enum.Enum):
        return _plain(value.value, place, depth - 1)
    if numpy is not None and isinstance(value, numpy.generic):
        return _plain(value.item(), place, depth - 1)
    if isinstance(value, (str, PurePath)):
        return _unicode(str(value), place)
    if value is None or isinstance(value, (bool, int, float)):
        return _finite_number(value, place)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {
            _text_key(key, place): _plain(item, joined(place, step(key)), depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{place}[{i}]", depth - 1) for i, item in enumerate(value)]
    raise _NotPlain(at(place, f"a {type(value).__name__} cannot be written as JSON"))


def _finite_number(value: float | None, place: str) -> float | None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _NotPlain(at(place, f"{value} is not finite; use a finite number or null"))
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise _NotPlain(at(place, f"an integer of {value.bit_length()} bits is beyond every float"))
    return value


def _unicode(text: str, place: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _NotPlain(at(place, f"{quoted(text)} is no valid Unicode")) from None
    return text


def _text_key(key: Any, place: str) -> str:
    if not isinstance(key, str):
        raise _NotPlain(at(place, f"the key {quoted(key)} is no string"))
    return _unicode(key, place)


def _laid_over(base: Any, changes: Any) -> Any:
    if not dataclasses.is_dataclass(base) or not isinstance(changes, Mapping):
        return changes
    own = {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
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


def _validator(cls: type, place: str, error: type[Exception]) -> Any:
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

    try:
        return _cached_validator(cls)
    except (PydanticUndefinedAnnotation, PydanticUserError) as problem:
        # The class may be of a user's own file.
        raise error(at(place, f"{cls.__name__} is not readable: {one_line(problem)}")) from None


@functools.cache
def _cached_validator(cls: type) -> Any:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic_core import SchemaValidator

    # The configuration of a bare stdlib dataclass cannot be given; that of a tuple reaches into it.
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    adapter: TypeAdapter[Any] = TypeAdapter(tuple[cls], config=config)  # type: ignore[valid-type]
    # Of a name that it does not find it would speak at the first use only.
    adapter.rebuild()
    _stop_at_first(adapter.core_schema)
    return SchemaValidator(adapter.core_schema)


def _stop_at_first(schema: Any) -> None:
    """Makes lists stop at their first problem; a hostile file's million would take gigabytes."""
    if isinstance(schema, dict):
        if schema.get("type") in ("tuple", "list", "dict"):
            schema["fail_fast"] = True
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _stop_at_first(part)
