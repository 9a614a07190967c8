"""Labels by name, multi-hot and unknown ones, and segments, in records that protobuf wrote."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tfrecord import example_pb2

from records import DataError, Schema, SplitSpec, iterate_batches, open_split, read_truth
from records.tfrecord import wire
from records.tfrecord.example import parse_clip
from records.tfrecord.framing import write_shard
from tests.records.tfrecord.messages import (
    FRAMES,
    MEANS,
    as_array,
    frame_example,
    frame_lists,
    video_example,
    video_features,
)

NAMED = dataclasses.replace(
    FRAMES, num_labels=3, label_encoding="names", label_names=("a dog", "Ü", "cat")
)
VECTORS = dataclasses.replace(FRAMES, num_labels=3, label_encoding="multi_hot")


def with_texts(data: np.ndarray, key: str, values: list[bytes]) -> np.ndarray:
    message = example_pb2.SequenceExample.FromString(data.tobytes())
    message.context.feature[key].bytes_list.value.extend(values)
    return as_array(message.SerializeToString())


def test_labels_by_name() -> None:
    data = with_texts(
        frame_example({"id": b"x"}, frame_lists(2)), "labels", [b"cat", "Ü".encode(), b"cat"]
    )
    assert wire.walk(data, NAMED).labels == [b"cat", "Ü".encode(), b"cat"]
    clip = parse_clip(data, NAMED)
    assert (clip.labels.tolist(), clip.repeated_labels) == ([1, 2], 1)
    with pytest.raises(
        DataError, match="the labels under 'labels' are not an int64 list but a byt"
    ):
        parse_clip(data, FRAMES)
    other = with_texts(frame_example({"id": b"x"}, frame_lists(2)), "labels", [b"c\x00w\xff"])
    with pytest.raises(DataError, match=r"clip 'x': the label 'c\\x00w�' is not in the vocabulary"):
        parse_clip(other, NAMED)
    with pytest.raises(DataError, match="is a name, and no label has one; name the vocabulary's"):
        parse_clip(data, dataclasses.replace(NAMED, label_names=()))


@pytest.mark.parametrize("vector", [[0, 1, 1], [0.0, 1.0, 1.0]])
def test_multi_hot_labels(vector: list[Any]) -> None:
    data = frame_example({"id": b"x", "labels": vector}, frame_lists(2))
    assert parse_clip(data, VECTORS).labels.tolist() == [1, 2]
    assert parse_clip(frame_example({"id": b"x"}, frame_lists(2)), VECTORS).labels.size == 0
    for wrong, said in (
        ([0, 2, 1], "has 2 for label 1; write 0 or 1"),
        ([1, 0], "must be 3 zeros"),
    ):
        with pytest.raises(DataError, match=said):
            parse_clip(frame_example({"id": b"x", "labels": wrong}, frame_lists(2)), VECTORS)


def test_unknown_labels() -> None:
    schema = dataclasses.replace(MEANS, unknown_labels_key="unsure")
    features = video_features()
    clip = parse_clip(
        video_example({"id": b"x", "labels": [5], "unsure": [9, 2, 9], **features}), schema
    )
    assert clip.unknown is not None and np.flatnonzero(clip.unknown).tolist() == [2, 9]
    clip = parse_clip(video_example({"id": b"x", "labels": [5], **features}), schema)
    assert clip.unknown is not None and not clip.unknown.any()
    assert parse_clip(video_example({"id": b"x", **features}), MEANS).unknown is None
    with pytest.raises(DataError, match="label 5 is among the clip's labels and among the unknown"):
        parse_clip(video_example({"id": b"x", "labels": [5], "unsure": [5], **features}), schema)
    with pytest.raises(DataError, match="label 400 is out of range"):
        parse_clip(video_example({"id": b"x", "unsure": [400], **features}), schema)


def test_floats_as_one_byte_string() -> None:
    lists = frame_lists(3)
    lists["pitch"] = [np.array(row, "<f4").tobytes() for row in lists["pitch"]]
    data = frame_example({"id": b"x"}, lists)
    expected = parse_clip(frame_example({"id": b"x"}, frame_lists(3)), FRAMES)
    found = parse_clip(data, FRAMES).features["pitch"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.features["pitch"])
    lists["pitch"][1] = lists["pitch"][1][:-1]
    with pytest.raises(
        DataError, match="'pitch' should be 3 x float32 a vector; found a bytes_list"
    ):
        parse_clip(frame_example({"id": b"x"}, lists), FRAMES)


# --- segments

SEGMENTS = dataclasses.replace(FRAMES, num_labels=10, segments=True)


def segments(*rated: tuple[int, int, float], **context: Any) -> dict[str, Any]:
    starts, labels, scores = (list(column) for column in zip(*rated, strict=True))
    return {
        "labels": [399],
        "segment_start_times": starts,
        "segment_end_times": [start + 5 for start in starts],
        "segment_labels": labels,
        "segment_scores": scores,
    } | context


def write(folder: Path, *records: np.ndarray) -> Path:
    path = folder / "train-0.tfrecord"
    write_shard(path, [record.tobytes() for record in records])
    return path


def test_each_rated_segment_is_a_clip(tmp_path: Path) -> None:
    rated = segments((10, 3, 1.0), (0, 2, 0.0), (10, 7, 0.0), (10, 4, 1.0), (10, 4, 0.0))
    write(
        tmp_path,
        frame_example({"id": b"unrated", "labels": [1]}, frame_lists(20)),
        frame_example({"id": b"v", **rated}, frame_lists(13)),
        frame_example({"id": b"w", **segments((5, 9, 1.0))}, frame_lists(20)),
    )
    split = open_split(tmp_path, "train", SplitSpec("train-*"), SEGMENTS, cache=None)
    clips = list(split.clips())
    assert [clip.id for clip in clips] == ["v:0", "v:10", "w:5"]
    assert [clip.labels.tolist() for clip in clips] == [[], [3], [9]]
    known = [np.flatnonzero(~clip.unknown).tolist() for clip in clips if clip.unknown is not None]
    # Raters did not agree on label 4.
    assert known == [[2], [3, 7], [9]]
    assert [clip.features["rgb"][:, 0].tolist() for clip in clips] == [
        [0, 1, 2, 3, 4],
        [10, 11, 12],
        [5, 6, 7, 8, 9],
    ]
    truth = read_truth(split)
    assert truth.unknown is not None
    masks = np.unpackbits(truth.unknown, axis=1, count=10).astype(bool)
    (batch,) = iterate_batches(split, 3)
    assert batch.unknown is not None
    np.testing.assert_array_equal(batch.unknown.numpy(), masks)
    assert batch.labels.tolist() == [[1, 3], [2, 9]]


def test_of_segments_whose_ratings_are_kept_back_nothing_is_known(tmp_path: Path) -> None:
    kept_back = {"segment_start_times": [10, 5], "segment_end_times": [15, 10]}
    write(
        tmp_path,
        frame_example({"id": b"v", **kept_back}, frame_lists(20)),
        frame_example({"id": b"w", **kept_back, "segment_labels": []}, frame_lists(12)),
    )
    split = open_split(tmp_path, "test", SplitSpec("train-*"), SEGMENTS, cache=None)
    clips = list(split.clips())
    assert [clip.id for clip in clips] == ["v:5", "v:10", "w:5", "w:10"]
    assert [len(clip.features["rgb"]) for clip in clips] == [5, 5, 5, 2]
    assert not any(len(clip.labels) for clip in clips)
    assert all(clip.unknown is not None and clip.unknown.all() for clip in clips)


@pytest.mark.parametrize(
    ("rated", "said"),
    [
        (segments((5, 3, 1.0), segment_labels=[3, 4]), "lists of segments have different lengths"),
        (segments((5, 3, 0.5)), "the segment at 5 has the score 0.5; it must be 0 or 1"),
        (segments((5, 3, 1.0), segment_end_times=[5]), "the segment at 5 ends at 5"),
        (
            segments((5, 10, 1.0)),
            "label 10 of the segment at 5 is out of range; schema 'frames' has",
        ),
        (segments((20, 3, 1.0)), "the segment at 20 begins behind the last of 20 frames"),
    ],
)
def test_wrong_segments_are_named(tmp_path: Path, rated: dict[str, Any], said: str) -> None:
    path = write(
        tmp_path,
        frame_example({"id": b"v", **segments((0, 2, 1.0))}, frame_lists(20)),
        frame_example({"id": b"w", **rated}, frame_lists(20)),
    )
    split = open_split(tmp_path, "train", SplitSpec("train-*"), SEGMENTS, cache=None)
    with pytest.raises(DataError, match=said) as error:
        list(split.clips())
    offset = path.stat().st_size - len(frame_example({"id": b"w", **rated}, frame_lists(20))) - 16
    assert str(error.value).startswith(f"{path}, byte {offset}, segment 0: ")
    whole = open_split(
        tmp_path, "train", SplitSpec("train-*"), SEGMENTS, cache=None, on_corrupt="skip"
    )
    assert (whole.skipped, [clip.id for clip in whole.clips()]) == (1, ["v:0"])


def test_segments_need_frames() -> None:
    changes: list[dict[str, Any]] = [
        {"level": "video"},
        {"label_encoding": "names"},
        {"unknown_labels_key": "x"},
    ]
    for change in changes:
        with pytest.raises(DataError, match="segments"):
            dataclasses.replace(SEGMENTS, **change)


def test_names_must_be_of_one_label() -> None:
    with pytest.raises(DataError, match="label_encoding is names, and 'cat' is two labels"):
        Schema("x", "frame", FRAMES.streams, 2, label_names=("cat",) * 2, label_encoding="names")
