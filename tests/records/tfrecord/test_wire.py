"""The fast path agrees with protobuf wherever it reads at all."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import DataError, Schema, Stream
from records.tfrecord import wire
from records.tfrecord.example import parse_clip, parse_with_protobuf
from tests.records.tfrecord.messages import (
    FRAMES,
    MEANS,
    as_array,
    assert_equal_fields,
    frame_example,
    frame_lists,
    message_field,
    video_example,
    video_features,
)


def test_usual_layouts_take_the_fast_path() -> None:
    context = {"id": b"ab", "labels": [3, 300], "start_time_seconds": [1.0]}
    wire.walk(frame_example(context, frame_lists(40)), FRAMES)
    wire.walk(video_example({**context, **video_features()}), MEANS)


def test_video_level_of_youtube_8m_ends_in_an_empty_field() -> None:
    data = video_example({"id": b"ab", "labels": [3], **video_features()})
    wire.walk(np.append(data, np.array([0x12, 0], np.uint8)), MEANS)


def test_features_are_views_of_the_record() -> None:
    data = frame_example({"id": b"ab", "labels": [3]}, frame_lists(4))
    clip = parse_clip(data, FRAMES)
    assert all(np.shares_memory(values, data) for values in clip.features.values())


def assert_paths_agree(data: np.ndarray, schema: Schema) -> None:
    """Where the fast path reads a record, protobuf reads the same, or refuses the record."""
    try:
        fast = wire.walk(data, schema)
    except wire.NotCanonicalError:
        return
    try:
        general = parse_with_protobuf(data, schema)
    except DataError as error:
        # What is not asked for, such as the values of other keys, the fast path does not look at.
        assert "not a tf." in str(error)
        return
    assert_equal_fields(fast, general)
    brief = wire.walk(data, schema, with_features=False)
    assert (brief.id, brief.labels) == (general.id, general.labels)


names = st.sampled_from(["id", "video_id", "labels", "rgb", "pitch", "code", "start", ""])
floats = st.floats(width=32)
values = st.one_of(
    st.binary(max_size=4),
    st.binary(min_size=130, max_size=130),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(floats, min_size=1, max_size=4),
    st.lists(floats, min_size=40, max_size=40),
)
contexts = st.dictionaries(names, values, max_size=5)
sound_context = st.fixed_dictionaries(
    {"id": st.binary(min_size=1, max_size=20), "labels": st.lists(st.integers(0, 399), max_size=9)}
)
lists_of_frames = st.one_of(
    st.integers(0, 20).map(frame_lists),
    st.dictionaries(names, st.lists(values, max_size=3), max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(sound_context, contexts), lists_of_frames)
def test_paths_agree_on_frames(context: dict[str, Any], lists: dict[str, Any]) -> None:
    assert_paths_agree(frame_example(context, lists), FRAMES)


@settings(max_examples=300, deadline=None)
@given(st.one_of(sound_context, contexts), st.booleans())
def test_paths_agree_on_vectors(context: dict[str, Any], sound: bool) -> None:
    assert_paths_agree(video_example({**context, **(video_features() if sound else {})}), MEANS)


@settings(max_examples=500, deadline=None)
@given(sound_context, st.integers(0, 3), st.randoms(use_true_random=False), st.booleans())
def test_paths_agree_on_damaged_records(
    context: dict[str, Any], frames: int, chance: random.Random, at_frame_level: bool
) -> None:
    if at_frame_level:
        data, schema = frame_example(context, frame_lists(frames)), FRAMES
    else:
        data, schema = video_example({**context, **video_features()}), MEANS
    damaged = bytearray(data)
    kind = chance.randrange(4)
    position = chance.randrange(len(damaged))
    if kind == 0:
        damaged[position] = chance.randrange(256)
    elif kind == 1:
        del damaged[position : position + chance.randrange(1, 10)]
    elif kind == 2:
        damaged[position:position] = bytes(chance.randrange(256) for _ in range(3))
    else:
        # Concatenated messages are one message to protobuf: lists grow and single values change.
        damaged = damaged * 2
    assert_paths_agree(as_array(bytes(damaged)), schema)


def test_unpacked_numbers_go_to_protobuf() -> None:
    """The older encoding, in which each number has a tag of its own, is legal."""
    floats_list = b"".join(b"\x0d" + np.float32(x).tobytes() for x in (1.5, -2.0))
    contents = {
        "id": message_field(wire.BYTES_LIST, message_field(wire.FIRST, b"x")),
        "labels": message_field(wire.INT64_LIST, b"\x08\x05\x08\xac\x02"),
        "rgb": message_field(wire.FLOAT_LIST, floats_list),
    }
    entries = (
        message_field(wire.FIRST, name.encode()) + message_field(wire.SECOND, content)
        for name, content in contents.items()
    )
    features = b"".join(message_field(wire.FIRST, entry) for entry in entries)
    data = as_array(message_field(wire.FIRST, features))
    schema = dataclasses.replace(MEANS, streams=(Stream("rgb", 2, "float32"),))
    with pytest.raises(wire.NotCanonicalError):
        wire.walk(data, schema)
    clip = parse_clip(data, schema)
    assert clip.labels.tolist() == [5, 300]
    assert clip.features["rgb"].tolist() == [1.5, -2.0]
