from __future__ import annotations

import numpy as np
import pytest
from tfrecord import example_pb2

from records import Clip, DataError, Schema, encode_clip
from records.tfrecord import wire
from records.tfrecord.example import parse_clip, parse_with_protobuf
from tests.records.tfrecord.messages import FRAMES, MEANS, as_array, assert_equal_fields


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
