"""Records that were changed at random: the reader takes what protobuf takes, and the same of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from records import DataError, Schema
from records.clip import Clip
from records.tfrecord import wire
from records.tfrecord.example import parse_clip
from tests.records.tfrecord.messages import (
    FRAMES,
    MEANS,
    as_array,
    frame_example,
    frame_lists,
    message_field,
    video_example,
    video_features,
)

MUTATIONS = 6000


def originals() -> list[tuple[bytes, Schema]]:
    """Examples with more in them than the schemas ask for, at both levels."""
    context = {"id": b"ab", "labels": [3, 300], "start": [1.5], "video_id": b"z", "n": [2**63 - 1]}
    lists = {**frame_lists(2), "other": [b"xy", b"zw"], "": [[0.5], [2.5]]}
    features = {**context, **video_features()}
    return [
        (frame_example(context, lists).tobytes(), FRAMES),
        (video_example(features).tobytes(), MEANS),
        (video_example(features).tobytes() + b"\x12\x00", MEANS),
    ]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to three changes, most of them where lengths and tags are."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(out))
        kind = chance.randrange(7)
        if kind == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            out[at] = chance.choice((0, 1, 0x0A, 0x0D, 0x12, 0x1A, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del out[at : at + chance.randrange(1, 6)]
        elif kind == 3:
            out[at:at] = chance.randbytes(chance.randrange(1, 4))
        elif kind == 4:
            # The same number in more bytes.
            out[at : at + 1] = bytes([out[at] | 0x80, *[0x80] * chance.randrange(11), 0])
        elif kind == 5:
            start = chance.randrange(len(out))
            out[at:at] = out[start : start + chance.randrange(1, 40)]
        else:
            del out[at:]
        if not out:
            break
    return bytes(out)


def outcome(data: bytes, schema: Schema) -> Clip | None:
    try:
        return parse_clip(as_array(data), schema)
    except DataError as error:
        assert len(str(error)) < 1000
        return None


def by_protobuf(data: bytes, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> Clip | None:
    """What the reader makes of it that knows no fast path."""

    def refuse(*_: object) -> None:
        raise wire.NotCanonicalError

    with monkeypatch.context() as patch:
        patch.setattr(wire, "walk", refuse)
        return outcome(data, schema)


def mutations() -> Iterator[tuple[bytes, Schema]]:
    chance = random.Random(10)
    bases = originals()
    for number in range(MUTATIONS):
        data, schema = bases[number % len(bases)]
        yield mutated(data, chance), schema


def test_the_reader_takes_what_protobuf_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0
    for data, schema in mutations():
        ours, theirs = outcome(data, schema), by_protobuf(data, schema, monkeypatch)
        assert (ours is None) == (theirs is None), data
        if ours is not None and theirs is not None:
            taken += 1
            assert ours.id == theirs.id and ours.labels.tolist() == theirs.labels.tolist(), data
            for name, values in ours.features.items():
                np.testing.assert_array_equal(values, theirs.features[name])
    # Most changes hit values, and some break the record.
    assert MUTATIONS / 10 < taken < MUTATIONS


def test_what_the_originals_hold_takes_the_fast_path() -> None:
    for data, schema in originals():
        wire.walk(as_array(data), schema)


class Counted:
    """A record's view that counts the bytes which are taken out of it one by one."""

    def __init__(self, data: bytes) -> None:
        self.data = self
        self.taken = 0
        self._view = memoryview(data)

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, place: int | slice) -> Any:
        self.taken += isinstance(place, int)
        return self._view[place]


@pytest.mark.parametrize("place", ["value", "length"])
def test_a_number_of_a_megabyte_is_given_up_after_ten_bytes(place: str) -> None:
    """It took 34 s: the number was added up, piece by piece, before it was looked at."""
    number = b"\x80" * 2**20 + b"\x00"
    if place == "value":
        labels = message_field(wire.INT64_LIST, message_field(wire.FIRST, number))
    else:
        labels = bytes([wire.INT64_LIST]) + number
    entry = message_field(wire.FIRST, b"labels") + message_field(wire.SECOND, labels)
    data = message_field(wire.FIRST, message_field(wire.FIRST, entry))
    counted = Counted(data)
    with pytest.raises(wire.NotCanonicalError):
        wire.walk(counted, MEANS)  # type: ignore[arg-type]
    assert counted.taken < 60
    with pytest.raises(DataError, match=r"not a tf\.Example"):
        parse_clip(as_array(data), MEANS)
