"""Clips and scores that look like those of YouTube-8M: made up, but of its shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metrics import Labels
from records import Clip, Schema, Split, SplitSpec, encode_clip, open_split, write_shards

POSITIVES = 3.0  # labels a clip
FACTORS = 32  # what clips and labels have in common
NOISE = 0.2  # by how much a member's log-odds differ from the common ones

Frames = tuple[int, int]  # of the shortest clip and of the longest, which comes first


def generate_split(folder: Path, schema: Schema, clips: int, frames: Frames = (1, 1)) -> Split:
    """Writes random clips to one shard; clips of a schema of videos have no `frames`."""
    records = (encode_clip(clip, schema) for clip in generate_clips(schema, clips, frames))
    write_shards(folder, "generated", records, per_shard=clips)
    return open_split(folder, "generated", SplitSpec("*.tfrecord"), schema, cache=None)


def generate_clips(schema: Schema, clips: int, frames: Frames) -> Iterator[Clip]:
    generator = np.random.default_rng(0)
    for number in range(clips):
        length = int(generator.integers(*frames, endpoint=True)) if number else frames[1]
        features = {}
        for stream in schema.streams:
            shape = (length, stream.size) if schema.level == "frame" else (stream.size,)
            if stream.encoding == "uint8":
                features[stream.name] = generator.integers(0, 256, shape, np.uint8)
            else:
                features[stream.name] = generator.normal(size=shape).astype(np.float32)
        labels = np.unique(generator.integers(0, schema.num_labels, 3))
        yield Clip(f"clip{number:05d}", labels, features)


def generate_scores(members: int, clips: int, num_labels: int) -> tuple[np.ndarray, Labels]:
    """Makes up log-odds of members that are trained alike, and the labels they are to find.

    Labels are rare by a long tail, go together by common factors, and are found with luck; a
    member differs from what all have in common by noise of its own, in factors and in scores.

    Returns:
        (members, clips, num_labels) float32, and the labels of the clips.
    """
    generator = np.random.default_rng(0)
    frequency = 1 / (np.arange(num_labels) + 10.0)
    frequency *= POSITIVES / frequency.sum()
    loadings = generator.normal(0, 1.2 / FACTORS**0.5, size=(FACTORS, num_labels))
    factors = generator.normal(size=(clips, FACTORS))
    common = np.log(frequency) - 3.5 + factors @ loadings
    truth = generator.random(common.shape) < frequency
    truth[0, 0] = True
    common[truth] += generator.normal(6.5, 2.5, size=int(truth.sum()))
    dense = np.empty((members, *common.shape), dtype=np.float32)
    for member in dense:
        own = generator.normal(0, NOISE, size=(clips, FACTORS)) @ loadings
        member[:] = common + own
        member += NOISE / 3 * generator.standard_normal(common.shape, dtype=np.float32)
    return dense, Labels.from_dense(truth)
