"""A data set surveyed: its splits side by side, in one pass over their records."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from records.clip import Clip
from records.schema import Schema, quantization
from records.splits import Split, Truth
from records.statistics.duplicates import NearDuplicates, near_duplicates, shared_ids
from records.statistics.values import StreamStatistics, StreamTally

# The least cosine of clips that count as nearly the same.
NEAR = 0.95
# Clips whose values are counted at a time.
_CHUNK = 256
# Of the first so many clips the longest is pictured.
_LOOKED_AT = 256
# Of the means that are compared.
_MOST_CLIPS, _MOST_BYTES = 1 << 16, 1 << 28

Shown = Callable[[Iterable[Clip], int], Iterable[Clip]]


@dataclass(frozen=True, eq=False)
class SplitSurvey:
    """One split.

    Attributes:
        name: The split's.
        shards: How many files it is made of.
        skipped: Damaged records that were left out.
        truth: Ids and labels of its N clips.
        frames: (N,) int64, how many each clip has; empty at video level.
    """

    name: str
    shards: int
    skipped: int
    truth: Truth
    frames: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.truth.ids)


@dataclass(frozen=True, eq=False)
class Survey:
    """A data set.

    Attributes:
        schema: What its records hold.
        splits: In the order given.
        streams: How the values of each stream are distributed, in all splits together.
        pictured: At frame level, a clip to look at, its features as they are stored.
        compared: (C,) rows, of all splits' clips one behind the other, that were searched for near
            duplicates: all, or as many as the memory for their means allows, evenly spaced.
        near: What was found; its rows are places in `compared`, its groups the splits.
        shared: As `shared_ids` has them.
    """

    schema: Schema
    splits: tuple[SplitSurvey, ...]
    streams: dict[str, StreamStatistics]
    pictured: Clip | None
    compared: NDArray[np.int64]
    near: NearDuplicates
    shared: dict[str, dict[str, int]]

    def __len__(self) -> int:
        return sum(map(len, self.splits))


def take_survey(splits: Sequence[Split], shown: Shown = lambda clips, count: clips) -> Survey:
    """Surveys splits of one schema, at least one of them; every record is read once.

    In memory are ids and labels, the bins of the values, and up to 256 MiB of mean vectors.

    Args:
        splits: The splits.
        shown: Is given the clips and their number, and gives them back; shows how many passed.

    Raises:
        DataError: A record is damaged or does not fit the schema.
    """
    schema = splits[0].schema
    total = sum(map(len, splits))
    tallies = _Tallies(schema, total)
    clips = iter(shown((clip for split in splits for clip in split.clips()), total))
    surveyed = tuple(_survey_split(split, clips, tallies) for split in splits)
    # The last clip has passed only when there is none behind it.
    next(clips, None)
    numbers = np.repeat(np.arange(len(splits)), [len(split) for split in surveyed])
    compared = tallies.compared
    return Survey(
        schema=schema,
        splits=surveyed,
        streams=tallies.streams(),
        pictured=tallies.pictured,
        compared=compared,
        near=near_duplicates(tallies.means(), numbers[compared], len(splits), NEAR),
        shared=shared_ids({split.name: split.truth.ids for split in surveyed}),
    )


def _survey_split(split: Split, clips: Iterable[Clip], tallies: _Tallies) -> SplitSurvey:
    ids: list[str] = []
    labels, counts, frames = array("q"), array("q"), array("q")
    for clip in clips:
        ids.append(clip.id)
        labels.frombytes(clip.labels.tobytes())
        counts.append(len(clip.labels))
        if split.schema.level == "frame":
            frames.append(len(clip.features[split.schema.streams[0].name]))
        tallies.add(clip)
        if len(ids) == len(split):
            break
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    truth = Truth(np.array(ids), offsets, np.array(labels, np.int64))
    return SplitSurvey(
        split.name, len(split.shards), split.skipped, truth, np.array(frames, np.int64)
    )


class _Tallies:
    """What is counted over all splits: values, mean vectors, and the clip to look at."""

    def __init__(self, schema: Schema, total: int) -> None:
        self.pictured: Clip | None = None
        size = sum(stream.size for stream in schema.streams)
        rows = min(total, _MOST_CLIPS, max(1, _MOST_BYTES // (4 * size)))
        self.compared = np.linspace(0, total - 1, rows).astype(np.int64)
        self._schema = schema
        self._values = {stream.name: StreamTally(stream, schema) for stream in schema.streams}
        self._means = np.zeros((rows, size), np.float32)
        self._taken = 0
        self._seen = 0
        self._chunk: list[Clip] = []

    def add(self, clip: Clip) -> None:
        if self._seen < _LOOKED_AT and self._schema.level == "frame":
            self._picture(clip)
        if self._seen == self.compared[min(self._taken, len(self.compared) - 1)]:
            self._means[self._taken] = _mean(clip)
            self._taken += 1
        self._seen += 1
        self._chunk.append(clip)
        if len(self._chunk) == _CHUNK:
            self._count()

    def streams(self) -> dict[str, StreamStatistics]:
        self._count()
        return {name: tally.result() for name, tally in self._values.items()}

    def means(self) -> NDArray[np.float32]:
        """Bytes as what they stand for, and each stream at the same variance."""
        step, offset = quantization(self._schema.quantized_min, self._schema.quantized_max)
        start = 0
        for stream in self._schema.streams:
            part = self._means[:, start : start + stream.size]
            if stream.encoding == "uint8":
                part *= step
                part += offset
            spread = float(part.var(axis=0).sum()) ** 0.5
            part /= spread or 1.0
            start += stream.size
        return self._means

    def _picture(self, clip: Clip) -> None:
        name = self._schema.streams[0].name
        longest = 0 if self.pictured is None else len(self.pictured.features[name])
        if len(clip.features[name]) > longest:
            self.pictured = clip

    def _count(self) -> None:
        for name, tally in self._values.items():
            if self._chunk:
                values = [np.atleast_2d(clip.features[name]) for clip in self._chunk]
                tally.add(np.concatenate(values))
        self._chunk.clear()


def _mean(clip: Clip) -> NDArray[np.float32]:
    """All streams of a clip, each over its frames; zeros where there are none."""
    parts = [np.atleast_2d(values) for values in clip.features.values()]
    means = [part.sum(axis=0, dtype=np.float32) / max(1, len(part)) for part in parts]
    return np.concatenate(means)
