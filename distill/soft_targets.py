"""Soft targets beside the shards: a few probabilities for each clip, keyed by its id.

Skalic & Austin 2018 rewrote the whole data set (1.4 TB) to carry their teachers' scores. Here a
clip's features stay where they are; its K likeliest labels, their probabilities and the summed
probability of all others are kept in one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.special import expit, logit

from common.errors import UserError
from common.files import atomic_path
from common.problems import one_line
from runs import Predictions

SOFT_TARGETS_NAME = "soft-targets.safetensors"
_CHUNK_CLIPS = 2048
_LEAST = float(np.finfo(np.float32).tiny)


class SoftTargetError(UserError):
    """Soft targets are missing, damaged, or of other clips; the message says which."""


@dataclass(frozen=True)
class SoftTargets:
    """Teacher probabilities of N clips.

    Attributes:
        ids: (N,) bytes, ascending.
        labels: (N, K) uint16 or uint32, likeliest first.
        probabilities: (N, K) float32.
        tail: (N,) float32, the summed probability of the labels that are not stored.
        num_labels: V.
    """

    ids: npt.NDArray[np.bytes_]
    labels: npt.NDArray[np.unsignedinteger]
    probabilities: npt.NDArray[np.float32]
    tail: npt.NDArray[np.float32]
    num_labels: int

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Where the clips of these ids stand.

        Raises:
            SoftTargetError: an id has no soft targets.
        """
        wanted = np.char.encode(np.asarray(ids), "utf-8")
        rows = np.searchsorted(self.ids, wanted)
        found = self.ids[np.minimum(rows, len(self.ids) - 1)] == wanted
        if not found.all():
            missing = wanted[~found][0].decode()
            raise SoftTargetError(
                f"clip {missing}: no soft targets; they were made from other shards, run "
                "stage=distill again"
            )
        return rows

    def joined(self, other: SoftTargets) -> tuple[SoftTargets, npt.NDArray[np.bool_]]:
        """These and those of other clips, as many labels of each; (N,) which are the others'."""
        order = np.argsort(np.concatenate([self.ids, other.ids]), kind="stable")
        ids, labels, probabilities, tail = (
            np.concatenate([getattr(self, name), getattr(other, name)])[order]
            for name in ("ids", "labels", "probabilities", "tail")
        )
        joined = SoftTargets(ids, labels, probabilities, tail, self.num_labels)
        return joined, order >= len(self.ids)

    def save(self, path: Path) -> None:
        """Writes one safetensors file, atomically."""
        tensors = {
            "ids": self.ids.view(np.uint8).reshape(len(self.ids), self.ids.dtype.itemsize),
            "labels": self.labels,
            "probabilities": self.probabilities,
            "tail": self.tail,
        }
        with atomic_path(path) as beside:
            save_file(tensors, beside, metadata={"num_labels": str(self.num_labels)})

    @classmethod
    def load(cls, path: Path, num_labels: int) -> SoftTargets:
        """Reads a file of `save`.

        Raises:
            SoftTargetError: it is missing or damaged, names a label that the data has not, holds a
                probability that is none, or ids that do not ascend.
        """
        try:
            tensors = load_file(path)
            ids = np.ascontiguousarray(tensors.pop("ids"))
            ids = ids.view(f"S{ids.shape[1]}")[:, 0]
            targets = cls(ids, num_labels=num_labels, **tensors)
            fault = targets._fault()
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
            raise SoftTargetError(f"{path}: no readable soft targets: {one_line(error)}") from error
        if fault:
            raise SoftTargetError(f"{path}: {fault}; run stage=distill again")
        return targets

    def _fault(self) -> str | None:
        """What is not as the class promises it."""
        clips, stored = len(self.ids), self.labels.shape[-1]
        shapes = self.labels.shape, self.probabilities.shape, self.tail.shape
        if shapes != ((clips, stored), (clips, stored), (clips,)):
            return f"its arrays do not agree: {shapes}"
        unsigned = self.labels.dtype in (np.uint16, np.uint32)
        if not (unsigned and (self.labels < self.num_labels).all()):
            return f"a label is out of range of {self.num_labels}"
        # A comparison with NaN is false.
        if not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():
            return "a probability is not from 0 to 1"
        if not ((self.tail >= 0) & (self.tail <= self.num_labels)).all():
            return "a tail is not from 0 to the number of labels"
        return None if (self.ids[1:] > self.ids[:-1]).all() else "its ids do not ascend"


def mix_teachers(
    teachers: Sequence[Predictions],
    weights: Sequence[float],
    kept: int,
    mix: str = "probability",
) -> SoftTargets:
    """The weighted mean of the teachers, the `kept` likeliest labels of each clip.

    What is averaged are the teachers' probabilities, or their log-odds. A label that a teacher did
    not store counts with an even share of that teacher's tail, or with that share's log-odds. One
    teacher alone therefore gives the same targets either way, and its tail keeps its sum. Where
    several are mixed in log-odds, the sum over labels that none of them stored is at least that of
    a dense mixture (by Hölder's inequality, as long as probabilities are small), and the same
    where the teachers' tails are alike. (With its bound, each of thousands of labels would count
    as if it were the best of them.)

    Args:
        teachers: predictions on the same clips in the same order.
        weights: of each teacher, summing to 1.
        kept: K.
        mix: "probability" or "log_odds".

    Raises:
        SoftTargetError: the teachers saw different clips, or `mix` is neither.
    """
    if mix not in ("probability", "log_odds"):
        raise SoftTargetError(f"mix = {mix!r}, but must be one of probability, log_odds")
    first = teachers[0]
    if not all(np.array_equal(other.ids, first.ids) for other in teachers):
        raise SoftTargetError("the teachers' predictions are of different clips")
    kept = min(kept, first.num_labels)
    labels = np.empty((len(first.ids), kept), dtype=first.labels.dtype)
    probabilities = np.empty((len(first.ids), kept), dtype=np.float32)
    tail = np.empty(len(first.ids), dtype=np.float32)
    for start in range(0, len(first.ids), _CHUNK_CLIPS):
        rows = slice(start, start + _CHUNK_CLIPS)
        mixed = _mixed_probabilities([teacher.select(rows) for teacher in teachers], weights, mix)
        top = np.argpartition(-mixed, kept - 1, axis=1)[:, :kept]
        values = np.take_along_axis(mixed, top, axis=1)
        # Equal probabilities in the order of their labels: the file must not depend on a sort.
        order = np.lexsort((top, -values), axis=1)
        labels[rows] = np.take_along_axis(top, order, axis=1)
        probabilities[rows] = np.take_along_axis(values, order, axis=1)
        tail[rows] = np.maximum(mixed.sum(axis=1) - values.sum(axis=1), 0.0)
    ids = np.char.encode(np.asarray(first.ids), "utf-8")
    order = np.argsort(ids, kind="stable")
    return SoftTargets(
        ids[order], labels[order], probabilities[order], tail[order], first.num_labels
    )


def _mixed_probabilities(
    teachers: Sequence[Predictions], weights: Sequence[float], mix: str
) -> npt.NDArray[np.float64]:
    """(n, V) probabilities of n clips."""
    mixed = np.zeros((len(teachers[0]), teachers[0].num_labels))
    for teacher, weight in zip(teachers, weights, strict=True):
        share = teacher.tail.astype(np.float64) / max(teacher.num_labels - teacher.stored, 1)
        stored = teacher.log_odds.astype(np.float64)
        if mix == "log_odds":
            # No share is above the best of what it is of; a tail may have underflowed to 0.
            share = np.minimum(logit(np.clip(share, _LEAST, 1)), teacher.left_out)
        else:
            stored = expit(stored)
        dense = np.repeat(share[:, None], teacher.num_labels, axis=1)
        np.put_along_axis(dense, teacher.labels.astype(np.int64), stored, axis=1)
        mixed += weight * dense
    return np.asarray(expit(mixed)) if mix == "log_odds" else mixed
