"""The order in which an epoch goes through the records of a split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUP_SHARDS = 64
"""Shards whose records are shuffled together."""

# What random numbers are drawn for, each by a generator of its own.
_SHARDS, _RECORDS, FRAMES = 0, 1, 2


class EpochOrder:
    """The order of one epoch, as a function from places in it to rows of the split.

    Shards are shuffled and taken in groups; records are shuffled within a group. So nearby records
    come from a bounded number of files, and any part of the order is known without what comes
    before it.

    Args:
        shard: (N,) the shard of each row, ascending.
        seed: None for the rows' own order.
        epoch: Each has another order.
        group_shards: Shards in a group.
    """

    def __init__(
        self, shard: NDArray[np.uint32], seed: int | None, epoch: int, group_shards: int
    ) -> None:
        self._seed = seed
        self._epoch = epoch
        self._rows = len(shard)
        starts = np.flatnonzero(np.diff(shard, prepend=np.uint32(0xFFFFFFFF)))
        starts = np.append(starts, self._rows)
        order = self.generator(_SHARDS, 0).permutation(len(starts) - 1)
        self._groups = [
            (starts[part], starts[part + 1])
            for part in np.split(order, range(group_shards, len(order), group_shards))
        ]
        self._shards = shard[starts[:-1]][order]
        self._group_shards = group_shards
        self._shard = shard
        sizes = [int((ends - begins).sum()) for begins, ends in self._groups]
        self._group_starts = np.concatenate([[0], np.cumsum(sizes)])
        self._shuffled: dict[int, NDArray[np.int64]] = {}

    def generator(self, purpose: int, number: int) -> np.random.Generator:
        """Random numbers that depend on the seed, the epoch and the arguments only."""
        return np.random.default_rng([self._seed or 0, self._epoch, purpose, number])

    def shards_from(self, start: int) -> list[int]:
        """The shards that are read from place `start` of the epoch on, in about their order."""
        if self._seed is None:
            return np.unique(self._shard[start:]).tolist()
        group = int(np.searchsorted(self._group_starts, start, side="right")) - 1
        return self._shards[group * self._group_shards :].tolist()

    def rows(self, start: int, end: int) -> NDArray[np.int64]:
        """The rows at places `start` to `end` of the epoch."""
        if self._seed is None:
            return np.arange(start, end)
        first = int(np.searchsorted(self._group_starts, start, side="right")) - 1
        parts = []
        for group in range(first, len(self._groups)):
            begin = int(self._group_starts[group])
            if begin >= end:
                break
            parts.append(self._group_rows(group)[max(start - begin, 0) : end - begin])
        return np.concatenate(parts)

    def _group_rows(self, group: int) -> NDArray[np.int64]:
        if group not in self._shuffled:
            begins, ends = self._groups[group]
            rows = np.concatenate([np.arange(b, e) for b, e in zip(begins, ends, strict=True)])
            # Two are kept, since a batch may lie across the border between groups.
            for old in list(self._shuffled)[:-1]:
                del self._shuffled[old]
            self._shuffled[group] = self.generator(_RECORDS, group).permutation(rows)
        return self._shuffled[group]
