"""The best labels of every clip, in order, and which of them are true.

Every score that looks at a clip's k best labels starts here, so this is where ties are settled:
labels of equal score that straddle the k-th place share the places that are left in equal parts.
The result never depends on the order in which a sort leaves them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.threads import on_threads
from metrics.errors import MetricError
from metrics.labels import Labels

CHUNK_VALUES = 1 << 18  # scores looked at in one go: a chunk of float32 fits a core's own cache
FEW_CHUNKS = 8  # fewer are not worth a pool of threads
SLABS = 16  # a dense row is cut into at most so many slabs, to bound its k-th best score


@dataclass(frozen=True)
class Ranking:
    """The k best labels of N clips, best first.

    Attributes:
        scores: (N, k), falling within a row.
        hits: (N, k) float64: 1 for a true label, 0 for a wrong one; labels that tie across the
            k-th place carry the share of true ones among all that tie.
    """

    scores: np.ndarray
    hits: np.ndarray

    def cut(self, k: int) -> Ranking:
        """The ranking of the k best only (or this one, if it is no longer than that)."""
        if k >= self.scores.shape[1]:
            return self
        scores, hits = self.scores, self.hits
        last = scores[:, k - 1]
        tied = np.flatnonzero(scores[:, k] == last)
        hits = hits[:, :k].copy()
        if tied.size:
            same = scores[tied] == last[tied, None]
            share = (self.hits[tied] * same).sum(axis=1) / same.sum(axis=1)
            hits[tied] = np.where(same[:, :k], share[:, None], hits[tied])
        return Ranking(scores[:, :k], hits)


def rank(labels: Labels, top_labels: np.ndarray | None, top_scores: np.ndarray, k: int) -> Ranking:
    """Ranks the k best labels of each clip and marks the true ones.

    Args:
        labels: The true labels of N clips.
        top_labels: (N, K) the labels that `top_scores` belong to, distinct within a clip; None
            where `top_scores` is dense.
        top_scores: (N, K) scores in any order, or (N, V) dense, column = label. Finite.
        k: How many to rank; K where K is less.

    Raises:
        MetricError: A score is NaN or infinite, a label is out of range, or shapes disagree.
    """
    top_scores = checked_scores(labels, top_labels, top_scores)
    k = min(k, top_scores.shape[1])
    if k < 1:
        raise MetricError(f"k = {k}, but at least one label must be ranked")
    scores = np.empty((len(labels), k), dtype=top_scores.dtype)
    hits = np.empty((len(labels), k))

    def rank_chunk(rows: slice) -> None:
        if top_labels is None:
            found, values = _candidates(top_scores[rows], k, rows.start)
        else:
            found, values = top_labels[rows].astype(np.int64), top_scores[rows]
            refuse_non_finite(values, rows.start)
        found, values = _sorted(found, values)
        best = Ranking(values, _look_up(labels, rows, found)).cut(k)
        scores[rows], hits[rows] = best.scores, best.hits

    _for_chunks(rank_chunk, len(labels), labels.num_labels)
    return Ranking(scores, hits)


def checked_scores(
    labels: Labels, top_labels: np.ndarray | None, top_scores: np.ndarray
) -> np.ndarray:
    """Scores as float32 or float64, those of unknown labels below all others.

    There they cost nothing: what stands below every true label is in no precision, and in no list.

    Raises:
        MetricError: Shapes disagree, or a label is out of range; where labels are unknown, also for
            a score that is NaN or infinite.
    """
    top_scores = np.asarray(top_scores)
    if top_scores.ndim != 2 or len(top_scores) != len(labels):
        raise MetricError(f"scores {top_scores.shape} for the labels of {len(labels)} clips")
    if top_scores.dtype not in (np.float32, np.float64):
        top_scores = top_scores.astype(np.float64)
    if top_labels is None:
        if top_scores.shape[1] != labels.num_labels:
            raise MetricError(
                f"scores {top_scores.shape}, but dense scores have {labels.num_labels} columns"
            )
    elif top_labels.shape != top_scores.shape:
        raise MetricError(f"labels {top_labels.shape} do not match scores {top_scores.shape}")
    elif top_labels.size and not 0 <= top_labels.min() <= top_labels.max() < labels.num_labels:
        raise MetricError(
            f"labels {top_labels.min()} to {top_labels.max()} are ranked, but must lie in "
            f"[0, {labels.num_labels})"
        )
    unknown = labels.is_unknown(top_labels)
    if unknown is None:
        return top_scores
    refuse_non_finite(top_scores)
    return np.where(unknown, np.finfo(top_scores.dtype).min, top_scores)


def best_labels(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best labels (N, k) int64 of dense scores (N, V), and their scores, best first.

    Of labels that tie across the k-th place any may be returned.

    Raises:
        MetricError: A score is NaN or infinite.
    """
    k = min(k, scores.shape[1])
    labels = np.empty((len(scores), k), dtype=np.int64)
    best = np.empty((len(scores), k), dtype=scores.dtype)

    def sort_chunk(rows: slice) -> None:
        found, values = _sorted(*_candidates(scores[rows], k, rows.start))
        labels[rows], best[rows] = found[:, :k], values[:, :k]

    _for_chunks(sort_chunk, *scores.shape)
    return labels, best


def true_pairs(labels: Labels, top_labels: np.ndarray) -> np.ndarray:
    """Which of the labels (N, K) of N clips are true, (N, K) float64 of 0 and 1."""
    hits = np.empty(top_labels.shape)

    def look_up_chunk(rows: slice) -> None:
        hits[rows] = _look_up(labels, rows, top_labels[rows].astype(np.int64))

    _for_chunks(look_up_chunk, len(labels), labels.num_labels)
    return hits


def slices(count: int, step: int) -> list[slice]:
    """Cuts `count` rows into pieces of `step`; the last may be shorter."""
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _for_chunks(work: Callable[[slice], None], clips: int, num_labels: int) -> None:
    """Does the work on a few clips at a time, on all threads of the process.

    NumPy lets go of the interpreter in all of its long loops.
    """
    chunks = slices(clips, max(1, CHUNK_VALUES // num_labels))
    if len(chunks) >= FEW_CHUNKS:
        on_threads(work, chunks)
        return
    for chunk in chunks:
        work(chunk)


def refuse_non_finite(scores: np.ndarray, first_row: int = 0) -> None:
    """Raises MetricError for a NaN or an infinity in scores (R, C) of clips from `first_row` on."""
    # The sum is cheap, and finite only where every score is.
    with np.errstate(over="ignore", invalid="ignore"):
        total = scores.sum()
    if not np.isfinite(total) and not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0]) + first_row
        raise MetricError(f"clip number {row} has a score that is NaN or infinite")


def _candidates(scores: np.ndarray, k: int, first_row: int) -> tuple[np.ndarray, np.ndarray]:
    """All labels of a dense chunk that can be among the k best, ties included.

    The row is cut into slabs that are laid over each other; of the maxima of what lies on one
    spot the k-th greatest bounds the k-th greatest score from below. That takes one pass over
    the memory, where a partition of the row takes many.

    Returns:
        Labels (R, C) int64 and scores (R, C), unsorted; rows with fewer end in label 0 at -inf.
    """
    refuse_non_finite(scores, first_row)
    rows, num_labels = scores.shape
    slabs = min(SLABS, num_labels // (2 * k))
    if slabs < 2:
        return np.broadcast_to(np.arange(num_labels), scores.shape), scores
    slab = num_labels // slabs
    maxima = scores[:, : slabs * slab].reshape(rows, slabs, slab).max(axis=1)
    bound = np.partition(maxima, slab - k, axis=1)[:, slab - k]
    flat = np.flatnonzero(scores >= bound[:, None])
    row = flat // num_labels
    counts = np.bincount(row, minlength=rows)
    place = np.arange(flat.size) - (np.cumsum(counts) - counts)[row]
    found = np.zeros((rows, counts.max()), dtype=np.int64)
    values = np.full(found.shape, -np.inf, dtype=scores.dtype)
    found[row, place] = flat - row * num_labels
    values[row, place] = scores.ravel()[flat]
    return found, values


def _sorted(found: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-values, axis=1)
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)


def _look_up(labels: Labels, rows: slice, found: np.ndarray) -> np.ndarray:
    """Which of the labels found (R, C) for a few clips are true, as float64."""
    start, end = labels.offsets[rows.start], labels.offsets[rows.stop]
    counts = np.diff(labels.offsets[rows.start : rows.stop + 1])
    table = np.zeros((len(found), labels.num_labels), dtype=bool)
    table[np.repeat(np.arange(len(found)), counts), labels.columns[start:end]] = True
    return np.take_along_axis(table, found, axis=1).astype(np.float64)
