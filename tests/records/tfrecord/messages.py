"""Serialized examples, made by protobuf."""

from __future__ import annotations

from typing import Any

import numpy as np
from tfrecord import example_pb2

from records import Schema, Stream
from records.tfrecord import wire

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


def message_field(tag: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return bytes([tag]) + wire.varint(len(content)) + content


def assert_equal_fields(one: wire.Fields, other: wire.Fields) -> None:
    assert one.id == other.id
    assert one.labels == other.labels
    assert one.features.keys() == other.features.keys()
    for name, values in one.features.items():
        assert values.dtype == other.features[name].dtype
        np.testing.assert_array_equal(values, other.features[name])
