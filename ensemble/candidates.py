"""The labels of each clip that can be among its k best under any weighting at all.

A label that k others beat in every member is beaten by them in every convex mixture, so it can
be dropped before any weighting is scored. What is left is small and the same for all weightings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.errors import EnsembleError
from metrics import Labels
from metrics.ranking import best_labels, slices, true_pairs
from runs.predictions import Predictions

CHUNK_CELLS = 1 << 22  # cells of (members, clips, labels) that are spread out in one go
PAIR_CELLS = 1 << 22  # cells of (clips, labels, labels) that are compared in one go
ANYTHING_ELSE = -1  # stands for the best of the labels that no member stored


@dataclass(frozen=True)
class Candidates:
    """Labels of N clips, at most C of each; surplus places hold label -1 at -inf.

    Attributes:
        labels: (N, C) int64; -1 where there is none or for "any label that nobody stored".
        log_odds: (M, N, C) float32; a member that did not store a label has its bound there,
            the greatest value that it can have had.
        unknown: (M, N, C) bool: where the member did not store the label.
        hits: (N, C) bool: the true labels.
    """

    labels: np.ndarray
    log_odds: np.ndarray
    unknown: np.ndarray
    hits: np.ndarray


def union_candidates(predictions: Sequence[Predictions], labels: Labels, k: int) -> Candidates:
    """Every label that a member stored, without those that no weighting puts among the k best.

    Raises:
        EnsembleError: The predictions are not of the same clips and labels, or store too few.
    """
    _check_alike(predictions, labels, k)
    step = max(1, CHUNK_CELLS // (len(predictions) * labels.num_labels))
    parts = [_chunk_candidates(predictions, rows, k) for rows in slices(len(labels), step)]
    width = max(part.labels.shape[1] for part in parts)
    found = np.concatenate([columns(part.labels, width, ANYTHING_ELSE) for part in parts])
    log_odds = np.concatenate([columns(part.log_odds, width, -np.inf) for part in parts], axis=1)
    unknown = np.concatenate([columns(part.unknown, width, False) for part in parts], axis=1)
    hits = (true_pairs(labels, np.maximum(found, 0)) > 0) & (found != ANYTHING_ELSE)
    return _prune(Candidates(found, log_odds, unknown, hits), k)


def _check_alike(predictions: Sequence[Predictions], labels: Labels, k: int) -> None:
    if not predictions:
        raise EnsembleError("no predictions to combine")
    first = predictions[0]
    for member, own in enumerate(predictions):
        if own.num_labels != labels.num_labels or len(own) != len(labels):
            raise EnsembleError(
                f"predictions number {member} are of {len(own)} clips and {own.num_labels} labels, "
                f"the truth of {len(labels)} and {labels.num_labels}"
            )
        if not np.array_equal(own.ids, first.ids):
            raise EnsembleError(f"predictions number {member} are of other clips than number 0")
        if own.stored < min(k, own.num_labels):
            raise EnsembleError(
                f"predictions number {member} store {own.stored} labels a clip, but {k} count"
            )


def _chunk_candidates(predictions: Sequence[Predictions], rows: slice, k: int) -> Candidates:
    """The labels of a few clips, roughly pruned and not yet marked as true.

    The k labels that are best on average are a bar: who is below the lowest of them in every
    member is beaten by all of them.
    """
    parts = [own.select(rows) for own in predictions]
    dense = np.stack([part.to_dense() for part in parts])
    unknown = np.ones(dense.shape, dtype=bool)
    for member, part in enumerate(parts):
        np.put_along_axis(unknown[member], part.labels.astype(np.int64), False, axis=1)
    bar, _ = best_labels(dense.mean(axis=0), k)
    lowest = np.take_along_axis(dense, bar[None], axis=2).min(axis=2, keepdims=True)
    keep = ((dense > lowest) | ((dense == lowest) & ~unknown)).any(axis=0)
    np.put_along_axis(keep, bar, True, axis=1)
    keep &= ~unknown.all(axis=0)
    found = np.broadcast_to(np.arange(keep.shape[1]), keep.shape)
    if not any(part.complete for part in parts):
        # A column more for whatever nobody stored: as good as every member's bound allows.
        width = keep.shape[1] + 1
        bounds = np.stack([part.left_out for part in parts])
        dense = np.concatenate([dense, bounds[:, :, None]], axis=2)
        found = columns(found, width, ANYTHING_ELSE)
        unknown, keep = columns(unknown, width, True), columns(keep, width, True)
    return _compact(Candidates(found, dense, unknown, np.zeros_like(keep)), keep)


def _prune(candidates: Candidates, k: int) -> Candidates:
    """Drops the labels that k others beat in every member.

    Of two labels that a member did not store neither counts as better there. Equal values that
    are known keep both labels, because a weighting of that member alone makes them tie.
    """
    log_odds, unknown = candidates.log_odds, candidates.unknown
    _, clips, width = log_odds.shape
    keep = np.zeros((clips, width), dtype=bool)
    for rows in slices(clips, max(1, PAIR_CELLS // (width * width))):
        beaten = np.ones((len(keep[rows]), width, width), dtype=bool)
        anywhere = np.zeros_like(beaten)
        for values, missing in zip(log_odds[:, rows], unknown[:, rows], strict=True):
            better = values[:, :, None] > values[:, None, :]
            anywhere |= better
            beaten &= better | (missing[:, :, None] & missing[:, None, :])
        keep[rows] = (beaten & anywhere).sum(axis=1) < k
    return _compact(candidates, keep & np.isfinite(log_odds[0]))


def _compact(candidates: Candidates, keep: np.ndarray) -> Candidates:
    """The candidates (N, C) that `keep` marks, moved to the left."""
    width = int(keep.sum(axis=1).max())
    order = np.argsort(~keep, axis=1, kind="stable")[:, :width]
    empty = ~np.take_along_axis(keep, order, axis=1)
    labels = np.take_along_axis(candidates.labels, order, axis=1)
    hits = np.take_along_axis(candidates.hits, order, axis=1)
    log_odds = np.take_along_axis(candidates.log_odds, order[None], axis=2)
    unknown = np.take_along_axis(candidates.unknown, order[None], axis=2)
    labels[empty], hits[empty] = ANYTHING_ELSE, False
    log_odds[:, empty], unknown[:, empty] = -np.inf, False
    return Candidates(labels, log_odds, unknown, hits)


def columns(array: np.ndarray, width: int, value: float) -> np.ndarray:
    """The first `width` columns, filled up with `value` where there are fewer."""
    missing = width - array.shape[-1]
    edges = [(0, 0)] * (array.ndim - 1) + [(0, missing)]
    return np.pad(array, edges, constant_values=value) if missing > 0 else array[..., :width]
