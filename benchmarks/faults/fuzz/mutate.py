"""Mutations of bytes, of JSON values and of protobuf messages."""

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

_LARGEST = 1 << 16  # bytes of a mutated file beyond those of the sound one
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 17, 255, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**40),
    *(0.5, -0.0, 1e-320, 3e38, 1e308, float("inf"), float("-inf"), float("nan")),
    *("", "a", "a/b", "..", "\0", "\ud800", "é", "x" * 5000, "F32", "uniform8", "1"),
    *([], {}, [0], [[]], {"": ""}, [[[[[[[[]]]]]]]], {"name": 1}),
)


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """One to four changes: bits, bytes, numbers, and pieces cut, doubled, moved or put in."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(_BYTES)(out, random)
    return bytes(out[: len(data) + _LARGEST])


def _piece(out: bytearray, random: Random) -> tuple[int, int]:
    start = random.randrange(len(out) + 1)
    return start, min(len(out), start + random.choice((1, 2, 4, 8, 16, 64, 1024)))


def _flip(out: bytearray, random: Random) -> None:
    if out:
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)


def _set(out: bytearray, random: Random) -> None:
    if out:
        out[random.randrange(len(out))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x7B))


def _number(out: bytearray, random: Random) -> None:
    """A number that is often a border, over what is there."""
    size = random.choice((1, 2, 4, 8))
    start = random.randrange(len(out) + 1)
    out[start : start + size] = (random.choice(_NUMBERS) % 2 ** (8 * size)).to_bytes(size, "little")


def _cut(out: bytearray, random: Random) -> None:
    start, end = _piece(out, random)
    del out[start:end]


def _double(out: bytearray, random: Random) -> None:
    start, end = _piece(out, random)
    out[end:end] = out[start:end] * random.choice((1, 1, 2, 50))


def _move(out: bytearray, random: Random) -> None:
    start, end = _piece(out, random)
    piece = out[start:end]
    del out[start:end]
    place = random.randrange(len(out) + 1)
    out[place:place] = piece


def _put_in(out: bytearray, random: Random) -> None:
    place = random.randrange(len(out) + 1)
    out[place:place] = random.randbytes(random.choice((1, 2, 8, 100)))


def _end(out: bytearray, random: Random) -> None:
    del out[random.randrange(len(out) + 1) :]


_BYTES: tuple[Callable[[bytearray, Random], None], ...] = (
    *(_flip, _flip, _set, _number, _cut, _double, _move, _put_in, _end),
)


def mutated_json(value: Any, random: Random) -> Any:
    """A copy with one to three values replaced, taken out, doubled or put elsewhere."""
    out = {"": json.loads(json.dumps(value))}
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        new = deepcopy(random.choice(_VALUES))
        places = _places(out)
        owner, key = random.choice(places)
        other, inner = random.choice(places)
        match random.randrange(6):
            case 0 if owner is not out:
                del owner[key]
            case 1:
                owner[key] = json.loads(json.dumps(other[inner]))
            case 2 if isinstance(owner, dict):
                owner[random.choice(("", "x", "name", "\0", str(inner)))] = new
            case 2:
                owner.insert(random.randrange(len(owner) + 1), new)
            case 3 if isinstance(owner[key], str) and owner[key]:
                text = owner[key]
                place = random.randrange(len(text))
                owner[key] = text[:place] + random.choice("a/0\0\u2028") + text[place + 1 :]
            case 4 if isinstance(owner[key], (int, float)):
                owner[key] = owner[key] * random.choice((-1, 2, 1000, 10**6)) + random.choice(
                    (0, 1)
                )
            case _:
                owner[key] = new
    return out.get("")


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Where a value stands, itself left out: its owner, and its key or number there."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    inner = (_places(part) for _, part in items if isinstance(part, (dict, list)))
    return [*((value, key) for key, _ in items), *(place for places in inner for place in places)]


Field = tuple[int, int, Any]  # number, wire type, and bytes, a number or fields
_LENGTH = 2
_MOST_DEPTH = 8


def mutated_message(data: bytes, random: Random) -> bytes:
    """A protobuf message whose fields were changed, moved, doubled or written in another way."""
    fields = _parse(data, 0) or []
    for _ in range(random.choice((1, 1, 2, 3))):
        every = _every(fields)
        if not every:
            break
        owner, place = random.choice(every)
        number, kind, value = owner[place]
        match random.randrange(7):
            case 0:
                del owner[place]
            case 1:
                owner.insert(random.randrange(len(owner) + 1), owner[place])
            case 2:
                random.shuffle(owner)
            case 3:
                owner[place] = (random.choice((1, 2, 3, 4, 15, 2**29 - 1)), kind, value)
            case 4 if isinstance(value, bytes):
                owner[place] = (number, kind, mutated_bytes(value, random))
            case 5:
                owner.insert(place, _stray(random))
            case _ if isinstance(value, int):
                owner[place] = (number, kind, random.choice(_NUMBERS))
            case _:
                other_owner, other = random.choice(every)
                owner[place] = (number, kind, deepcopy(other_owner[other][2]))
    # Sometimes every number takes more bytes than it needs.
    return _joined(fields, random.choice((0, 0, 0, 1, 9)))


def _stray(random: Random) -> Field:
    """A field of any type that the message does not know."""
    kind = random.choice((0, 1, 2, 3, 4, 5, 6))
    size = {1: 8, 5: 4}.get(kind, random.choice((0, 1, 12)))
    value = random.choice(_NUMBERS) if kind == 0 else random.randbytes(size)
    return random.choice((1, 2, 3, 9, 0)), kind, value


def _every(fields: list[Field]) -> list[tuple[list[Field], int]]:
    found = [(fields, place) for place in range(len(fields))]
    for _, _, value in fields:
        if isinstance(value, list):
            found += _every(value)
    return found


def _parse(data: bytes, depth: int) -> list[Field] | None:
    """The fields of a message; None where the bytes are none, or too deep to look."""
    fields: list[Field] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            fields.append((tag >> 3, kind, value))
            continue
        size = {1: 8, 5: 4}.get(kind, -1)
        if kind == _LENGTH:
            size, at = _varint(data, at)
        if size < 0 or at + size > len(data) or not tag >> 3:
            return None
        content = data[at : at + size]
        inner = _parse(content, depth + 1) if kind == _LENGTH and depth < _MOST_DEPTH else None
        fields.append((tag >> 3, kind, inner or content))
        at += size
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and the place behind it; -1 where there is none."""
    value = 0
    for place in range(at, min(len(data), at + 10)):
        value |= (data[place] & 0x7F) << 7 * (place - at)
        if data[place] < 0x80:
            return value, place + 1
    return -1, len(data)


def _joined(fields: list[Field], longer: int) -> bytes:
    out = bytearray()
    for number, kind, value in fields:
        out += _written(number << 3 | kind, longer)
        if isinstance(value, int):
            out += _written(value % 2**64, longer)
            continue
        content = _joined(value, longer) if isinstance(value, list) else value
        if kind == _LENGTH:
            out += _written(len(content), longer)
        out += content
    return bytes(out)


def _written(value: int, longer: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    more = min(longer, 9 - len(out))
    if more > 0:
        out[-1] |= 0x80
        out += b"\x80" * (more - 1) + b"\0"
    return bytes(out)
