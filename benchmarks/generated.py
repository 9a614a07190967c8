"""Clips and scores that look like those of YouTube-8M: made up, but of its shape."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from metrics import Labels
from records import Clip, Schema, Split, SplitSpec, encode_clip, open_split, write_shards
from runs import Predictions
from runs.predictions import label_type

POSITIVES = 3.0  # labels a clip
FACTORS = 32  # what clips and labels have in common
NOISE = 0.2  # by how much a member's log-odds differ from the common ones
RANKED = 160  # labels of a clip that any member may store
_UNIT, _SHIFT = 1 << 12, 1 << 19

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


class RankedClips:
    """Some clips, what is true of them, and the best labels that members store.

    No member stores others than the `RANKED` labels of a clip. Scores are whole numbers, `_UNIT` to
    a unit of log-odds, so that with its rank each is one key: to sort these is ten times as fast as
    to find the order of floats.
    """

    def __init__(self, start: int, clips: int, num_labels: int, stored: int) -> None:
        self._start = start
        self._num_labels = num_labels
        self._stored_labels = stored
        self._random = np.random.default_rng(start)
        self._ids = np.array([f"{start + clip:011d}" for clip in range(clips)])
        # Steps that have no divisor in common with the number of labels hit each label once.
        strides = np.array([n for n in range(1, num_labels) if np.gcd(n, num_labels) == 1])
        steps = self._random.choice(strides, clips)[:, None] * np.arange(RANKED)
        begin = self._random.integers(0, num_labels, (clips, 1))
        self._labels = ((begin + steps) % num_labels).astype(label_type(num_labels))
        falling = (_UNIT * (2.5 - 2.2 * np.log1p(np.arange(RANKED)))).astype(np.int32)
        self._common = falling + self._noise(1.5)

    def truth(self) -> Labels:
        log_odds = self._common / _UNIT - 1
        found = self._random.random(log_odds.shape) < 1 / (1 + np.exp(-log_odds))
        rows, places = np.nonzero(found)
        columns = self._labels[rows, places]
        return Labels.from_pairs(rows, columns, len(self._ids), self._num_labels)

    def member(self, number: int, errors: Sequence[float]) -> list[Predictions]:
        """What a member says, further off the later it is of twelve, and by each recipe further."""
        self._random = np.random.default_rng([self._start, number])
        scores = self._common + self._noise(0.4 + 0.04 * (number % 12))
        return [self._stored(scores + self._noise(error)) for error in errors]

    def _noise(self, most: float) -> np.ndarray:
        """As far off, in log-odds, at most, either way."""
        drawn = self._random.integers(-(2**15), 2**15, (len(self._ids), RANKED), np.int16)
        return (drawn * np.float32(most * _UNIT / 2**15)).astype(np.int32)

    def _stored(self, scores: np.ndarray) -> Predictions:
        keys = (scores + _SHIFT) << 8 | np.arange(RANKED, dtype=np.int32)
        keys.sort(axis=1)
        best = keys[:, : -self._stored_labels - 2 : -1]
        log_odds = ((best >> 8) - _SHIFT).astype(np.float32) / _UNIT
        labels = np.take_along_axis(self._labels, best[:, : self._stored_labels] & 255, axis=1)
        tail = np.full(len(best), 1.0, dtype=np.float32)
        values = np.ascontiguousarray(log_odds[:, : self._stored_labels])
        return Predictions(
            self._ids, labels, values, log_odds[:, self._stored_labels], tail, self._num_labels
        )
