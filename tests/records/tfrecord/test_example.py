from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tfrecord import example_pb2

from records import Clip, DataError, Schema, Stream, encode_clip, parse_clip
from records.tfrecord import wire
from records.tfrecord.example import parse_id_and_labels, parse_with_protobuf

FRAMES = Schema(
    "frames", "frame", (Stream("rgb", 130), Stream("pitch", 3, "float32")), num_labels=400
)
MEANS = Schema("means", "video", (Stream("rgb", 40, "float32"), Stream("code", 3)), num_labels=400)


def as_array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def feature(values: Any) -> Any:
    """A Feature message: of bytes, integers, or floats."""
    if isinstance(values, bytes):
        return example_pb2.Feature(bytes_list=example_pb2.BytesList(value=[values]))
    if values and isinstance(values[0], float):
        return example_pb2.Feature(float_list=example_pb2.FloatList(value=values))
    return example_pb2.Feature(int64_list=example_pb2.Int64List(value=values))


def frame_example(context: dict[str, Any], lists: dict[str, list[Any]]) -> np.ndarray:
    message = example_pb2.SequenceExample(
        context=example_pb2.Features(feature={k: feature(v) for k, v in context.items()}),
        feature_lists=example_pb2.FeatureLists(
            feature_list={
                name: example_pb2.FeatureList(feature=[feature(v) for v in values])
                for name, values in lists.items()
            }
        ),
    )
    return as_array(message.SerializeToString())


def video_example(features: dict[str, Any]) -> np.ndarray:
    values = {name: feature(value) for name, value in features.items()}
    message = example_pb2.Example(features=example_pb2.Features(feature=values))
    return as_array(message.SerializeToString())


def frame_lists(frames: int) -> dict[str, list[Any]]:
    return {
        "rgb": [bytes([number]) * 130 for number in range(frames)],
        "pitch": [[float(number), 0.5, -1.0] for number in range(frames)],
    }


def video_features() -> dict[str, Any]:
    return {"rgb": [float(number) for number in range(40)], "code": b"abc"}


# --- both levels


@pytest.mark.parametrize("frames", [0, 1, 7, 256])
def test_frame_level(frames: int) -> None:
    clip = parse_clip(frame_example({"id": b"ab", "labels": [7, 3]}, frame_lists(frames)), FRAMES)
    assert clip.id == "ab"
    assert clip.labels.tolist() == [3, 7]
    expected = np.arange(frames, dtype=np.uint8)[:, None].repeat(130, 1)
    np.testing.assert_array_equal(clip.features["rgb"], expected)
    assert clip.features["pitch"].shape == (frames, 3)
    assert clip.features["pitch"].dtype == np.float32


def test_video_level() -> None:
    clip = parse_clip(
        video_example({"video_id": b"ab", "labels": [300], **video_features()}), MEANS
    )
    assert clip.id == "ab"
    assert clip.labels.tolist() == [300]
    np.testing.assert_array_equal(clip.features["rgb"], np.arange(40, dtype=np.float32))
    assert clip.features["code"].tobytes() == b"abc"


def test_the_first_id_key_counts() -> None:
    data = frame_example({"id": b"first", "video_id": b"second"}, frame_lists(2))
    assert parse_clip(data, FRAMES).id == "first"
    turned = dataclasses.replace(FRAMES, id_keys=("video_id", "id"))
    assert parse_clip(data, turned).id == "second"


@pytest.mark.parametrize("labels", [{}, {"labels": []}])
def test_labels_may_be_missing(labels: dict[str, Any]) -> None:
    for data, schema in [
        (frame_example({"id": b"x", **labels}, frame_lists(2)), FRAMES),
        (video_example({"id": b"x", **labels, **video_features()}), MEANS),
    ]:
        assert parse_clip(data, schema).labels.tolist() == []
        assert parse_id_and_labels(data, schema)[1].tolist() == []


def test_repeated_labels_count_once() -> None:
    data = frame_example({"id": b"x", "labels": [5, 2, 5]}, frame_lists(1))
    assert parse_clip(data, FRAMES).labels.tolist() == [2, 5]


# --- the fast path


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


@pytest.mark.parametrize("position", [0, 2, 4])
def test_one_frame_of_another_size_is_refused(position: int) -> None:
    lists = frame_lists(5)
    lists["rgb"][position] = b"\x01" * 129
    data = frame_example({"id": b"x"}, lists)
    with pytest.raises(DataError, match=r"'rgb' should be 130 x uint8 .* bytes_list of 129"):
        parse_clip(data, FRAMES)


def assert_equal_fields(one: wire.Fields, other: wire.Fields) -> None:
    assert one.id == other.id
    assert one.labels == other.labels
    assert one.features.keys() == other.features.keys()
    for name, values in one.features.items():
        assert values.dtype == other.features[name].dtype
        np.testing.assert_array_equal(values, other.features[name])


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
    brief = wire.walk_id_and_labels(data, schema)
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


def message_field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + wire.varint(len(content)) + content


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


# --- what is refused


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3, 400], "clip 'x': label 400 is out of range; schema 'frames' has num_labels 400"),
        ([-1], "clip 'x': label -1 is out of range"),
        ([2**62], "label 4611686018427387904 is out of range"),
    ],
)
def test_labels_out_of_range(labels: list[int], message: str) -> None:
    data = frame_example({"id": b"x", "labels": labels}, frame_lists(2))
    for parse in (parse_clip, parse_id_and_labels):
        with pytest.raises(DataError, match=message):
            parse(data, FRAMES)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite(value: float) -> None:
    features = {"id": b"x", **video_features()}
    features["rgb"][17] = value
    with pytest.raises(DataError, match="clip 'x': stream 'rgb' holds NaN or infinity"):
        parse_clip(video_example(features), MEANS)
    lists = frame_lists(3)
    lists["pitch"][1][2] = value
    with pytest.raises(DataError, match="clip 'x': stream 'pitch' holds NaN or infinity"):
        parse_clip(frame_example({"id": b"x"}, lists), FRAMES)


def test_streams_of_different_lengths() -> None:
    lists = frame_lists(3)
    lists["pitch"].pop()
    with pytest.raises(DataError, match="clip 'x': streams have different numbers of frames: "):
        parse_clip(frame_example({"id": b"x"}, lists), FRAMES)


def test_foreign_schemas_are_named() -> None:
    video = video_example({"id": b"x", **video_features()})
    with pytest.raises(DataError, match="'rgb' of schema 'frames' is missing; the record has code"):
        parse_clip(video, FRAMES)
    frames = frame_example({"id": b"x", "labels": [1]}, frame_lists(2))
    with pytest.raises(DataError, match="'rgb' of schema 'means' is missing; the record has id"):
        parse_clip(frames, MEANS)
    wider = dataclasses.replace(FRAMES, streams=(Stream("rgb", 131),))
    with pytest.raises(DataError, match="'rgb' should be 131 x uint8"):
        parse_clip(frames, wider)
    floats_wanted = dataclasses.replace(FRAMES, streams=(Stream("rgb", 130, "float32"),))
    with pytest.raises(DataError, match=r"should be 130 x float32 .* found a bytes_list of 0"):
        parse_clip(frames, floats_wanted)


def test_what_is_no_example() -> None:
    for schema, kind in ((FRAMES, "SequenceExample"), (MEANS, "Example")):
        for data in (b"\xff\xff\xff", b"\x0a\x05abc"):
            with pytest.raises(DataError, match=f"not a tf.{kind}; check that the schema"):
                parse_clip(as_array(data), schema)
        with pytest.raises(DataError, match="is missing; the record has nothing"):
            parse_clip(as_array(b""), schema)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ({}, "no id under id or video_id; check the schema"),
        ({"id": b""}, "no id under id or video_id"),
        ({"id": b"\xff\xfe"}, r"the id b'\\xff\\xfe' is not UTF-8"),
        ({"id": [1, 2]}, "the id under 'id' is 0 byte strings"),
        ({"id": b"x", "labels": b"3"}, "the labels under 'labels' are not an int64 list"),
    ],
)
def test_wrong_ids_and_labels(context: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_clip(frame_example(context, frame_lists(1)), FRAMES)


# --- encoding


@pytest.mark.parametrize("frames", [0, 1, 7])
@pytest.mark.parametrize("schema", [FRAMES, MEANS])
def test_encoded_clips_are_parsed_by_either_path(schema: Schema, frames: int) -> None:
    generator = np.random.default_rng(frames)
    features = {}
    for stream in schema.streams:
        shape = (frames, stream.size) if schema.level == "frame" else (stream.size,)
        features[stream.name] = generator.integers(0, 256, shape).astype(stream.encoding)
    clip = Clip("näme", np.array([1, 128, 399]), features)
    extra = {"soft": np.array([0.5, 2.0]), "where": np.array([-1, 2**40])}
    data = as_array(encode_clip(clip, schema, extra))
    assert_equal_fields(wire.walk(data, schema), parse_with_protobuf(data, schema))
    back = parse_clip(data, schema)
    assert back.id == "näme"
    assert back.labels.tolist() == [1, 128, 399]
    for name, array in features.items():
        np.testing.assert_array_equal(back.features[name], array)
    message = example_pb2.SequenceExample.FromString(data.tobytes())
    assert list(message.context.feature["soft"].float_list.value) == [0.5, 2.0]
    assert list(message.context.feature["where"].int64_list.value) == [-1, 2**40]


def test_encoding_refuses_what_does_not_fit() -> None:
    good: dict[str, np.ndarray] = {
        "rgb": np.zeros((2, 130), np.uint8),
        "pitch": np.zeros((2, 3), np.float32),
    }
    labels = np.array([], np.int64)
    encode_clip(Clip("x", labels, good), FRAMES)
    for bad in (
        {"pitch": good["pitch"]},
        good | {"pitch": good["pitch"].astype(np.float64)},
        good | {"pitch": good["pitch"][:1]},
        good | {"rgb": good["rgb"][:, :9]},
    ):
        with pytest.raises(DataError, match=r"clip 'x': stream '(rgb|pitch)' should be"):
            encode_clip(Clip("x", labels, bad), FRAMES)
