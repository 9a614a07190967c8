"""Clips that are there more than once: under one id, or nearly the same under two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Axes on which the directions of clips are compared first.
_AXES = 64
# Clips a block; two blocks are compared at a time.
_BLOCK = 2048
# What float32 rounds off a sum of products of directions, and more.
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs of clips whose directions are nearly the same.

    Attributes:
        count: How many there are.
        pairs: (P, 2) int64, rows of the most alike of them, the most alike first; within a pair the
            lower row first.
        likeness: (P,) float32, the cosine of each pair.
        clips: (G, G) int64, how many clips of each group are in a pair with one of each.
    """

    count: int
    pairs: NDArray[np.int64]
    likeness: NDArray[np.float32]
    clips: NDArray[np.int64]


def near_duplicates(
    vectors: NDArray[np.float32],
    group: NDArray[np.integer],
    groups: int,
    least: float,
    most_pairs: int = 500,
) -> NearDuplicates:
    """Finds every pair of clips whose directions have a cosine of at least `least`.

    A direction is what a vector is off the mean of all, at length 1. Exact, by blocks: directions
    are turned onto the principal axes of all, and on the first 64 of these their product, and that
    of the lengths of what remains of either (Cauchy and Schwarz), is at least the cosine. So one
    product of matrices of 65 columns shows for a block of pairs which of them can be near, and
    only for those is the cosine computed from all columns. That takes N * N / 2 * 65 products, and
    where all clips are near each other those of all columns; in memory two blocks, and the vectors.

    Args:
        vectors: (N, D), finite; is overwritten with the directions. One that is the mean itself is
            near nothing.
        group: (N,) in ``[0, groups)``, such as the number of a clip's split.
        groups: G.
        least: The cosine, above 0.
        most_pairs: How many pairs are named.
    """
    _to_directions(vectors)
    bounds = _bounds(vectors)
    found = _Found(group, groups, most_pairs)
    starts = range(0, len(vectors), _BLOCK)
    for first in starts:
        for second in starts[first // _BLOCK :]:
            upper = bounds[first : first + _BLOCK] @ bounds[second : second + _BLOCK].T
            can_be = upper >= least - _ROUNDING
            if first == second:
                can_be = np.triu(can_be, 1)
            rows, columns = (np.flatnonzero(can_be.any(axis=axis)) for axis in (1, 0))
            if not len(rows):
                continue
            cosines = vectors[first + rows] @ vectors[second + columns].T
            near = (cosines >= least) & can_be[np.ix_(rows, columns)]
            one, other = np.nonzero(near)
            found.add(first + rows[one], second + columns[other], cosines[one, other])
    return found.result()


def _to_directions(vectors: NDArray[np.float32]) -> None:
    """Takes off the mean, and scales to length 1; in place."""
    vectors -= vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    # What is left of a vector that is the mean is what was rounded.
    lengths[lengths < 1e-6 * lengths.max(initial=0.0)] = np.inf
    vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, None].astype(np.float32)


def _bounds(directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """By row the first principal coordinates, and the length of the rest (N, <= 65)."""
    # The greatest eigenvalues come last.
    _, axes = np.linalg.eigh(directions.T @ directions)
    leading = directions @ axes[:, -_AXES:]
    left = np.einsum("nd,nd->n", directions, directions) - np.einsum("nd,nd->n", leading, leading)
    return np.hstack([leading, np.sqrt(np.maximum(left, 0))[:, None]])


class _Found:
    """Pairs as they are found: all are counted, the most alike are kept."""

    def __init__(self, group: NDArray[np.integer], groups: int, most: int) -> None:
        self._group = group
        self._most = most
        self._count = 0
        self._pairs = np.zeros((0, 2), np.int64)
        self._likeness = np.zeros(0, np.float32)
        self._near = np.zeros((len(group), groups), np.bool_)

    def add(
        self, one: NDArray[np.int64], other: NDArray[np.int64], likeness: NDArray[np.float32]
    ) -> None:
        self._count += len(one)
        self._near[one, self._group[other]] = True
        self._near[other, self._group[one]] = True
        pairs = np.concatenate([self._pairs, np.stack([one, other], axis=1)])
        alike = np.concatenate([self._likeness, likeness])
        if len(alike) > self._most:
            kept = alike >= np.partition(alike, -self._most)[-self._most]
            pairs, alike = pairs[kept], alike[kept]
        order = np.lexsort((pairs[:, 1], pairs[:, 0], -alike))[: self._most]
        self._pairs, self._likeness = pairs[order], alike[order]

    def result(self) -> NearDuplicates:
        groups = self._near.shape[1]
        clips = [self._near[self._group == own].sum(axis=0) for own in range(groups)]
        return NearDuplicates(self._count, self._pairs, self._likeness, np.array(clips, np.int64))


def shared_ids(ids: Mapping[str, NDArray[np.str_]]) -> dict[str, dict[str, int]]:
    """The ids that are there more than once, each with how often it is in which splits.

    Args:
        ids: Of the clips of each split (N,).
    """
    every = np.concatenate(list(ids.values()))
    found, counts = np.unique(every, return_counts=True)
    repeated = found[counts > 1]
    shared: dict[str, dict[str, int]] = {name: {} for name in repeated.tolist()}
    for split, own in ids.items():
        of, times = np.unique(own[np.isin(own, repeated)], return_counts=True)
        for name, count in zip(of.tolist(), times.tolist(), strict=True):
            shared[name][split] = count
    return shared
