"""Small schemas, clips in them, and shards of such clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from records import Clip, Schema, Stream, encode_clip, write_shards

MakeClip = Callable[..., Clip]
MakeShards = Callable[..., list[Path]]


@pytest.fixture
def frame_schema() -> Schema:
    """Two streams of bytes."""
    return Schema("frames", "frame", (Stream("rgb", 12), Stream("audio", 5)), num_labels=30)


@pytest.fixture
def video_schema() -> Schema:
    """Two vectors of floats."""
    streams = (Stream("mean_rgb", 12, "float32"), Stream("mean_audio", 5, "float32"))
    return Schema("means", "video", streams, num_labels=30)


@pytest.fixture
def make_clip() -> MakeClip:
    """A function (schema, number, frames) to a clip whose values depend on its number only."""

    def make(schema: Schema, number: int, frames: int | None = None) -> Clip:
        generator = np.random.default_rng(number)
        length = int(generator.integers(1, 9)) if frames is None else frames
        features = {}
        for stream in schema.streams:
            shape = (length, stream.size) if schema.level == "frame" else (stream.size,)
            if stream.encoding == "uint8":
                features[stream.name] = generator.integers(0, 256, shape, np.uint8)
            else:
                features[stream.name] = generator.normal(size=shape).astype(np.float32)
        labels = np.unique(generator.integers(0, schema.num_labels, number % 4))
        return Clip(f"clip{number:04d}", labels.astype(np.int64), features)

    return make


@pytest.fixture
def make_shards(tmp_path: Path, make_clip: MakeClip) -> MakeShards:
    """A function (schema, clips, per_shard, prefix) that writes shards below ``tmp_path``/data."""

    def make(
        schema: Schema, clips: int, per_shard: int = 10, prefix: str = "train", first: int = 0
    ) -> list[Path]:
        records = (
            encode_clip(make_clip(schema, number), schema) for number in range(first, first + clips)
        )
        return write_shards(tmp_path / "data", prefix, records, per_shard)

    return make
