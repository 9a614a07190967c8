"""The true labels of many clips, sparse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrics.errors import MetricError

_ALL = slice(None)


@dataclass(frozen=True)
class Labels:
    """True labels in compressed rows: clip n has columns[offsets[n]:offsets[n + 1]].

    Attributes:
        offsets: (N + 1,) int64, from 0 to the number of positives, never falling.
        columns: (positives,) int64, each in [0, num_labels); a clip has a label once at most.
        num_labels: V.
        unknown: (N, ceil(V / 8)) uint8, bits as `np.packbits` makes them: 1 for a label of which
            nobody knows whether the clip has it. It is neither true nor false, and counts in no
            score. None where all are known.

    Raises:
        MetricError: An offset, a column or a repeated label breaks the above, or a label is both
            true and unknown.
    """

    offsets: np.ndarray
    columns: np.ndarray
    num_labels: int
    unknown: np.ndarray | None = None

    def __post_init__(self) -> None:
        offsets = np.ascontiguousarray(self.offsets, dtype=np.int64)
        columns = np.ascontiguousarray(self.columns, dtype=np.int64)
        if offsets.ndim != 1 or columns.ndim != 1 or offsets.size == 0:
            raise MetricError("labels: offsets and columns must be one-dimensional, offsets filled")
        if offsets[0] != 0 or offsets[-1] != columns.size or (np.diff(offsets) < 0).any():
            raise MetricError(
                f"labels: offsets must rise from 0 to the number of positives, {columns.size}"
            )
        if columns.size and not 0 <= columns.min() <= columns.max() < self.num_labels:
            raise MetricError(
                f"labels: {columns.min()} to {columns.max()} found, but must lie in "
                f"[0, {self.num_labels})"
            )
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "columns", columns)
        keys = np.sort(self.rows * self.num_labels + columns)
        repeated = np.flatnonzero(keys[1:] == keys[:-1])
        if repeated.size:
            row, column = divmod(int(keys[repeated[0]]), self.num_labels)
            raise MetricError(f"labels: clip number {row} has label {column} more than once")
        self._check_unknown()

    def _check_unknown(self) -> None:
        if self.unknown is None:
            return
        shape = (len(self), -(-self.num_labels // 8))
        if self.unknown.shape != shape or self.unknown.dtype != np.uint8:
            raise MetricError(f"labels: unknown {self.unknown.shape} must be uint8 {shape}")
        both = np.flatnonzero(_bits(self.unknown, self.rows, self.columns))
        if both.size:
            row, column = self.rows[both[0]], self.columns[both[0]]
            raise MetricError(f"labels: clip number {row} has label {column}, which is unknown too")

    def is_unknown(self, top_labels: np.ndarray | None, rows: slice = _ALL) -> np.ndarray | None:
        """Which labels (n, K) of some clips are unknown, or all (n, V); None where all are known.

        Args:
            top_labels: (n, K), or None for all.
            rows: The clips.
        """
        if self.unknown is None:
            return None
        own = self.unknown[rows]
        if top_labels is None:
            return np.unpackbits(own, axis=1, count=self.num_labels).astype(bool)
        numbers = np.arange(len(own))[:, None]
        return _bits(own, numbers, top_labels.astype(np.int64))

    @classmethod
    def from_pairs(
        cls,
        rows: np.ndarray,
        columns: np.ndarray,
        num_clips: int,
        num_labels: int,
        unknown: np.ndarray | None = None,
    ) -> Labels:
        """Builds labels of `num_clips` clips from pairs of clip number and label, in any order.

        `unknown` (N, V) is True for labels that are.
        """
        packed = None if unknown is None else np.packbits(unknown, axis=1)
        rows = np.asarray(rows, dtype=np.int64)
        columns = np.asarray(columns, dtype=np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < num_clips:
            raise MetricError(f"labels: clip numbers must lie in [0, {num_clips})")
        order = np.lexsort((columns, rows))
        offsets = np.zeros(num_clips + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=num_clips), out=offsets[1:])
        return cls(offsets, columns[order], num_labels, packed)

    @classmethod
    def from_dense(cls, dense: np.ndarray) -> Labels:
        """Builds labels from a matrix (N, V) that is nonzero where a clip has a label."""
        rows, columns = np.nonzero(dense)
        return cls.from_pairs(rows, columns, dense.shape[0], dense.shape[1])

    @classmethod
    def concatenate(cls, parts: Sequence[Labels]) -> Labels:
        """The clips of all parts, one after the other."""
        counts = np.concatenate([part.counts for part in parts])
        offsets = np.concatenate([[0], np.cumsum(counts)])
        columns = np.concatenate([part.columns for part in parts])
        masks = [part.unknown for part in parts if part.unknown is not None]
        if len(masks) not in (0, len(parts)):
            raise MetricError("labels: some parts have unknown labels, and some cannot")
        unknown = np.concatenate(masks) if masks else None
        return cls(offsets, columns, parts[0].num_labels, unknown)

    def select(self, rows: np.ndarray | slice) -> Labels:
        """The labels of the clips of these numbers (n,), in that order; or of a slice."""
        counts = self.counts[rows]
        ends = np.cumsum(counts)
        first = np.repeat(self.offsets[:-1][rows] - (ends - counts), counts)
        columns = self.columns[first + np.arange(len(first))]
        unknown = None if self.unknown is None else self.unknown[rows]
        return Labels(np.append(0, ends), columns, self.num_labels, unknown)

    def __len__(self) -> int:
        return self.offsets.size - 1

    @property
    def counts(self) -> np.ndarray:
        """(N,) int64: how many labels each clip has."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """(positives,) int64: the clip that each entry of `columns` belongs to."""
        return np.repeat(np.arange(len(self)), self.counts)

    def dense(self) -> np.ndarray:
        """(N, V) bool."""
        dense = np.zeros((len(self), self.num_labels), dtype=bool)
        dense[self.rows, self.columns] = True
        return dense


def _bits(packed: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bits of rows of `np.packbits`, as bool."""
    return np.asarray(packed[rows, columns >> 3] >> (7 - (columns & 7)) & 1).astype(bool)
