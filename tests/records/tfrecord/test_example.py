from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from records import DataError, Stream
from records.tfrecord.example import parse_clip
from tests.records.tfrecord.messages import (
    FRAMES,
    MEANS,
    as_array,
    frame_example,
    frame_lists,
    video_example,
    video_features,
)

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
        assert parse_clip(data, schema, with_features=False).labels.tolist() == []


def test_repeated_labels_count_once() -> None:
    data = frame_example({"id": b"x", "labels": [5, 2, 5]}, frame_lists(1))
    assert parse_clip(data, FRAMES).labels.tolist() == [2, 5]


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
    for with_features in (True, False):
        with pytest.raises(DataError, match=message):
            parse_clip(data, FRAMES, with_features)


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


@pytest.mark.parametrize("position", [0, 2, 4])
def test_one_frame_of_another_size_is_refused(position: int) -> None:
    lists = frame_lists(5)
    lists["rgb"][position] = b"\x01" * 129
    data = frame_example({"id": b"x"}, lists)
    with pytest.raises(DataError, match=r"'rgb' should be 130 x uint8 .* bytes_list of 129"):
        parse_clip(data, FRAMES)
