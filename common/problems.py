"""One line about what pydantic refused: where, by the names that the user wrote, and why."""

import dataclasses
import difflib
import functools
import types
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

_MAX_QUOTED = 200
_MAX_REASON = 500
_MAX_UNKNOWN = 1_000
_BOUNDS = {
    "ge": "must be at least",
    "gt": "must be above",
    "le": "must be at most",
    "lt": "must be below",
    "min_length": "must have a length of at least",
    "max_length": "must have a length of at most",
}
_NONE = type(None)


class _Spot(NamedTuple):
    """Where a problem lies: its path, and the type and the value there.

    `union` is how far into pydantic's location it lies in one of a union's alternatives.
    """

    path: str
    hint: Any
    value: Any
    union: int | None


def first_problem(
    cls: type, plain: Any, problems: list[Any], place: str, error: type[Exception]
) -> str:
    """What to tell the user: of several problems the first, an unknown key before a missing one.

    Args:
        cls: The dataclass that was to be built, as the only value of a tuple.
        plain: From what.
        problems: As `ValidationError.errors` lists them.
        place: The name of the whole, for the message.
        error: A `__post_init__` that raises this may have named the place itself.
    """
    unknown = (p for p in problems if p["type"] == "unexpected_keyword_argument")
    problem = first = next(unknown, problems[0])
    location = problem["loc"][1:]
    union = _find(cls, plain, location).union
    if union is not None:
        # Of a union's alternatives the one counts that the value got furthest in.
        rivals = [p for p in problems if p["loc"][1 : union + 1] == location[:union]]
        problem = max(rivals, key=lambda p: (len(p["loc"]), not _is_of_type(p), p is first))
        location = problem["loc"][1:]
        if len(location) == union + 1 and _is_of_type(problem):
            location = location[:union]
    about_key = problem["type"] in ("unexpected_keyword_argument", "missing")
    spot = _find(cls, plain, location[:-1] if about_key else location)
    where, key = joined(place, spot.path), location[-1] if location else ""
    if about_key and isinstance(key, str):
        return at(where, _about_key(problem["type"], key, _options(spot.hint)[0]))
    reason = problem.get("ctx", {}).get("error")
    if isinstance(reason, Exception):
        text = one_line(reason)
        named = where and isinstance(reason, error) and text.startswith(where)
        return text if named else at(where, text)
    return at(where, f"{_about_value(problem, spot)}, not {quoted(spot.value)}")


def first_flood(hint: Any, value: Any, place: str, path: str = "") -> str | None:
    """About an unknown key of a mapping that has many more keys than its dataclass has fields.

    pydantic finds all of them before it says so, which takes a gigabyte for a million. Arguments
    are those of `first_problem`, `hint` being the class; None where there is no such mapping.
    """
    found = [
        _flood(option, value, place, path) for option in _options(hint) if _takes(option, value)
    ]
    # Another alternative may have room for them.
    return found[0] if all(found) and found else None


def _takes(option: Any, value: Any) -> bool:
    """Whether it is a type of mappings and a mapping, or a type of lists and a list."""
    origin = get_origin(option) or option
    if isinstance(value, dict):
        return dataclasses.is_dataclass(option) or _is_a(origin, Mapping)
    return isinstance(value, list) and _is_a(origin, (tuple, list))


def _flood(option: Any, value: Any, place: str, path: str) -> str | None:
    if dataclasses.is_dataclass(option):
        known = {field.name for field in dataclasses.fields(option)}
        if len(value) > len(known) + _MAX_UNKNOWN:
            key = next(key for key in value if key not in known)
            reason = _about_key("unexpected_keyword_argument", key, option)
            return at(joined(place, path), reason)
    elif not _holds_dataclass(option):
        return None
    inside = (
        first_flood(_inner(option, key), item, place, path + step(key))
        for key, item in (value.items() if isinstance(value, dict) else enumerate(value))
        if isinstance(item, (dict, list))
    )
    return next(filter(None, inside), None)


@functools.cache
def _holds_dataclass(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) or any(map(_holds_dataclass, get_args(hint)))


def _is_of_type(problem: Any) -> bool:
    return str(problem["type"]).endswith(("_type", "literal_error"))


def _about_key(kind: str, key: str, owner: Any) -> str:
    if kind == "missing":
        return f"key {key!r} is missing"
    known = [f.name for f in dataclasses.fields(owner) if f.init] if owner is not Any else []
    text = f"unknown key {quoted(key)}; known are {', '.join(known)}"
    close = difflib.get_close_matches(key[:_MAX_QUOTED], known, 1)
    return f"{text}; did you mean {close[0]!r}?" if close else text


def _about_value(problem: Any, spot: _Spot) -> str:
    for name, bound in problem.get("ctx", {}).items():
        if name in _BOUNDS:
            return f"{_BOUNDS[name]} {bound:.15g}"
    # A list of a fixed length lacks a value.
    if spot.hint is not Any and (_is_of_type(problem) or problem["type"] == "missing"):
        text = " or ".join(dict.fromkeys(map(_named, _options(spot.hint, none=True))))
        return f"must be {text}" if text.startswith("one of") else f"expected {text}"
    return f"{problem['msg'][:1].lower()}{problem['msg'][1:]}"


def _find(hint: Any, value: Any, location: Iterable[Any]) -> _Spot:
    """Follows pydantic's location, which also names the alternatives of the unions on the way."""
    path, union, owner, last = "", None, hint, ""
    for number, key in enumerate(location):
        options = _options(hint)
        keys = range(len(value)) if isinstance(value, list) else value
        if len(options) == 1 and isinstance(value, (list, dict)) and key in keys:
            path, owner, last = path + step(key), options[0], key
            hint, value = _inner(owner, key), value[key]
        elif key == "[key]":
            hint, value = get_args(owner)[0], last
        elif len(options) > 1:
            union = number if union is None else union
            name = str(key).partition("[")[0]
            hint = next((option for option in options if _tag(option) == name), Any)
    return _Spot(path, hint, value, union)


def _options(hint: Any, none: bool = False) -> list[Any]:
    """The alternatives of a union, or the type itself; without its bounds and, mostly, None."""
    if get_origin(hint) is Annotated:
        return _options(get_args(hint)[0], none)
    if get_origin(hint) in (Union, types.UnionType):
        return [o for arg in get_args(hint) for o in _options(arg, none) if none or o is not _NONE]
    return [hint]


def _tag(option: Any) -> str:
    """How pydantic names an alternative, up to its parameters."""
    name = getattr(get_origin(option) or option, "__name__", "")
    return "dict" if name == "Mapping" else name


def _inner(hint: Any, key: str | int) -> Any:
    """The type of what a dataclass, mapping or list holds under `key`."""
    arguments = get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _hints(hint).get(str(key), Any)
    if not arguments:
        return Any
    if isinstance(key, int):
        return arguments[0 if Ellipsis in arguments or len(arguments) == 1 else key]
    return arguments[1]


@functools.cache
def _hints(owner: Any) -> dict[str, Any]:
    return get_type_hints(owner, include_extras=True)


def _is_a(hint: Any, of: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, of)


def _named(hint: Any) -> str:
    """A type in the user's words."""
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if hint is _NONE:
        return "None"
    if not isinstance(origin, type):
        return str(getattr(hint, "__name__", hint))
    if dataclasses.is_dataclass(hint) or issubclass(origin, Mapping):
        return "a mapping"
    if origin is tuple and arguments and Ellipsis not in arguments:
        return f"a list of {len(arguments)} values"
    if issubclass(origin, (tuple, list)):
        return "a list"
    return "a path" if issubclass(origin, PurePath) else origin.__name__


def at(place: str, text: str) -> str:
    """`text` about `place`, which may be empty."""
    return f"{place}: {text}" if place else text


def joined(place: str, path: str) -> str:
    """The place that lies at `path`, made of steps, in `place`, which may be empty."""
    path = shortened(path)
    return f"{place}{path}" if place else path.removeprefix(".")


def step(key: Any) -> str:
    """A step of a path: `.name`, `[3]`, or `['a b']` where a bare name would mislead."""
    plain = isinstance(key, str) and 0 < len(key) <= _MAX_QUOTED
    return f".{key}" if plain and key.isprintable() and " " not in key else f"[{quoted(key)}]"


def quoted(value: Any) -> str:
    """The value in at most 200 printable characters."""
    try:
        text = repr(value[:_MAX_QUOTED] if isinstance(value, str) else value)
    except ValueError:  # Python prints no integer of more than 4,300 digits.
        text = f"a long {type(value).__name__}"
    return shortened(text)


def shortened(text: str) -> str:
    """At most 200 characters of it."""
    return text if len(text) <= _MAX_QUOTED else f"{text[: _MAX_QUOTED - 1]}…"


def one_line(problem: Exception) -> str:
    """Its message as one line of printable characters, not without end."""
    return printable(" ".join(str(problem)[: 2 * _MAX_REASON].split())[:_MAX_REASON])


def printable(text: str) -> str:
    """The text with what cannot be printed written out, such as `\\x1b` and ends of lines."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
