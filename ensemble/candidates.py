"""The labels of each clip that can be among its k best under any weighting at all.

A label that k others beat in every member is beaten by them in every convex mixture, so it can
be dropped before any weighting is scored. What is left is small and the same for all weightings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.threads import on_threads
from ensemble.errors import EnsembleError
from metrics import Labels
from metrics.ranking import slices, true_pairs
from runs.predictions import Predictions

CHUNK_CELLS = 1 << 20  # cells of (members, clips, labels) that are looked at in one go
PAIRS = 1 << 17  # of labels that are compared in one go: they stay in a core's own cache
FEW_CLIPS = 32
UNION = 4  # labels that all members together store, at most about, as a multiple of what one does
STRONG = 2  # labels that all others of a clip are held against first, as a multiple of k
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
    check_alike(predictions, labels, k)
    width = min(labels.num_labels, UNION * max(own.stored for own in predictions))
    step = max(1, CHUNK_CELLS // (len(predictions) * width))
    parts = on_threads(
        lambda rows: _chunk_candidates(predictions, labels, rows, k), slices(len(labels), step)
    )
    width = max(part.labels.shape[1] for part in parts)
    found = np.concatenate([columns(part.labels, width, ANYTHING_ELSE) for part in parts])
    log_odds = np.concatenate([columns(part.log_odds, width, -np.inf) for part in parts], axis=1)
    unknown = np.concatenate([columns(part.unknown, width, False) for part in parts], axis=1)
    hits = (true_pairs(labels, np.maximum(found, 0)) > 0) & (found != ANYTHING_ELSE)
    return Candidates(found, log_odds, unknown, hits)


def check_alike(predictions: Sequence[Predictions], labels: Labels, k: int) -> None:
    """Makes sure that predictions can be mixed.

    Raises:
        EnsembleError: They are not of the same clips and labels, or store too few.
    """
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


def _chunk_candidates(
    predictions: Sequence[Predictions], labels: Labels, rows: slice, k: int
) -> Candidates:
    """Those of a few clips, not yet marked as true."""
    parts = [own.select(rows) for own in predictions]
    unknown = labels.is_unknown(None, rows)
    found = _stored_labels(parts, unknown, k)
    found = _compact(found, _above_the_bar(found, k))
    if not any(part.complete for part in parts):
        # A column more for whatever nobody stored: as good as every member's bound allows.
        width = found.labels.shape[1] + 1
        bounds = np.stack([part.left_out for part in parts])[:, :, None]
        if unknown is not None:
            # Where a member stored all that is known, nothing else counts.
            bounds[:, _stored_all_known(parts, unknown)] = -np.inf
        found = Candidates(
            columns(found.labels, width, ANYTHING_ELSE),
            np.concatenate([found.log_odds, bounds], axis=2),
            columns(found.unknown, width, True),
            columns(found.hits, width, False),
        )
    return _compact(found, _unbeaten(found, k))


def _stored_all_known(parts: Sequence[Predictions], unknown: np.ndarray) -> np.ndarray:
    """For which clips (N,) a member stored every label that is not unknown (N, V)."""
    known = (~unknown).sum(axis=1)
    stored = [
        (~np.take_along_axis(unknown, part.labels.astype(np.int64), axis=1)).sum(axis=1)
        for part in parts
    ]
    return np.asarray(np.max(stored, axis=0) == known)


def _stored_labels(parts: Sequence[Predictions], hidden: np.ndarray | None, k: int) -> Candidates:
    """Every label of a clip that a member stored, rising, but those that `hidden` (N, V) marks.

    Where some are hidden there are k places at least.
    """
    held = np.zeros((len(parts[0]), parts[0].num_labels), dtype=bool)
    stored = [part.labels.astype(np.int64) for part in parts]
    for own in stored:
        np.put_along_axis(held, own, True, axis=1)
    if hidden is not None:
        held &= ~hidden
    clip, label = np.nonzero(held)
    counts = held.sum(axis=1)
    width = int(counts.max()) if hidden is None else max(k, int(counts.max()))
    place = np.arange(label.size) - (np.cumsum(counts) - counts)[clip]
    # What is hidden goes to a place behind all others.
    found = np.full((len(held), width + (hidden is not None)), ANYTHING_ELSE)
    found[clip, place] = label
    # Read where something is stored, or hidden, and there alone.
    place_of = np.empty(held.shape, dtype=np.int32)
    if hidden is not None:
        place_of[:] = width
    place_of[clip, label] = place
    log_odds = np.repeat(np.stack([p.left_out for p in parts])[:, :, None], found.shape[1], axis=2)
    unknown = np.ones(log_odds.shape, dtype=bool)
    for member, (part, own) in enumerate(zip(parts, stored, strict=True)):
        places = _gathered(place_of, own).astype(np.int64)
        np.put_along_axis(log_odds[member], places, part.log_odds, axis=1)
        np.put_along_axis(unknown[member], places, False, axis=1)
    found, log_odds, unknown = found[:, :width], log_odds[:, :, :width], unknown[:, :, :width]
    surplus = found == ANYTHING_ELSE
    log_odds[:, surplus], unknown[:, surplus] = -np.inf, False
    return Candidates(found, log_odds, unknown, np.zeros_like(surplus))


def _above_the_bar(found: Candidates, k: int) -> np.ndarray:
    """A rough cut (N, C): the k labels that are best on average are a bar.

    Who is below the lowest of them in every member is beaten by all of them.
    """
    log_odds = found.log_odds
    bar = np.argpartition(-log_odds.mean(axis=0), k - 1, axis=1)[:, :k]
    lowest = np.take_along_axis(log_odds, bar[None], axis=2).min(axis=2, keepdims=True)
    keep = ((log_odds > lowest) | ((log_odds == lowest) & ~found.unknown)).any(axis=0)
    np.put_along_axis(keep, bar, True, axis=1)
    return keep


def _unbeaten(found: Candidates, k: int) -> np.ndarray:
    """The labels (N, C) of a clip that fewer than k others beat in every member.

    Of two labels that a member did not store neither counts as better there. Equal values that
    are known keep both labels, because a weighting of that member alone makes them tie.

    First a few that are good on average are held against all, and then what is left against each
    other: who beats a label that so many beat is itself beaten by no more of them, so that nobody
    is missed who counts.
    """
    as_rival, as_rated = _apart(found)
    few = STRONG * k
    if found.labels.shape[1] <= few:
        return _beaten_by(as_rival, as_rated) < k
    strong = np.argpartition(-found.log_odds.mean(axis=0), few - 1, axis=1)[:, :few]
    left = _beaten_by(_gathered(as_rival, strong), as_rated) < k
    left &= np.isfinite(found.log_odds[0])
    # Clips of which about as many are left go together.
    for clips in np.array_split(np.argsort(left.sum(axis=1)), len(left) // FEW_CLIPS + 1):
        places, empty = _to_the_left(left[clips])
        rivals, rated = (_gathered(each[:, clips], places) for each in (as_rival, as_rated))
        rivals[:, empty] = -np.inf
        rows = np.zeros_like(left[clips])
        np.put_along_axis(rows, places, (_beaten_by(rivals, rated) < k) & ~empty, axis=1)
        left[clips] = rows
    return left


def _apart(found: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """The log-odds as a rival has them, and as a label that is rated does (M, N, C).

    So that a rival is not worse where, and only where, its number is greater: a label that is not
    stored passes another such one, and one that is stored at just the bound passes neither.
    """
    bound = np.where(found.unknown, found.log_odds, np.inf).min(axis=2, keepdims=True)
    below = np.nextafter(bound, np.float32(-np.inf))
    as_rated = np.where(found.unknown, below, found.log_odds)
    as_rival = np.where(~found.unknown & (found.log_odds == bound), below, found.log_odds)
    # What no member stored beats nobody, and would only pass itself.
    as_rival[:, found.unknown.all(axis=0)] = -np.inf
    return as_rival, as_rated


def _beaten_by(rivals: np.ndarray, rated: np.ndarray) -> np.ndarray:
    """How many rivals (M, N, R) of its clip pass each rated label (M, N, C) in every member."""
    _, clips, width = rated.shape
    # Sums of bytes are fast, as long as these can count all rivals.
    counts = np.empty((clips, width), np.uint8 if rivals.shape[2] < 256 else np.uint32)
    for rows in slices(clips, max(1, PAIRS // (width * rivals.shape[2]))):
        everywhere = rivals[0, rows, :, None] > rated[0, rows, None, :]
        passed = np.empty_like(everywhere)
        for one, other in zip(rivals[1:, rows, :, None], rated[1:, rows, None, :], strict=True):
            everywhere &= np.greater(one, other, out=passed)
        everywhere.view(np.uint8).sum(axis=1, dtype=counts.dtype, out=counts[rows])
    return counts


def _compact(candidates: Candidates, keep: np.ndarray) -> Candidates:
    """The candidates (N, C) that `keep` marks and that there are, moved to the left."""
    order, empty = _to_the_left(keep & np.isfinite(candidates.log_odds[0]))
    labels, hits, log_odds, unknown = (
        _gathered(each, order)
        for each in (candidates.labels, candidates.hits, candidates.log_odds, candidates.unknown)
    )
    labels[empty], hits[empty] = ANYTHING_ELSE, False
    log_odds[:, empty], unknown[:, empty] = -np.inf, False
    return Candidates(labels, log_odds, unknown, hits)


def _to_the_left(keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places (N, C') of what is kept of each clip (N, C), and which of them are surplus."""
    width = max(1, int(keep.sum(axis=1).max()))
    order = np.argsort(~keep, axis=1, kind="stable")[:, :width]
    return order, ~np.take_along_axis(keep, order, axis=1)


def _gathered(array: np.ndarray, places: np.ndarray) -> np.ndarray:
    """What stands at places (N, C') of an array (..., N, C); faster than by `take_along_axis`."""
    clips, width = array.shape[-2:]
    cells = (places + np.arange(clips)[:, None] * width).ravel()
    shape = (*array.shape[:-1], places.shape[1])
    return array.reshape(*array.shape[:-2], clips * width).take(cells, axis=-1).reshape(shape)


def columns(array: np.ndarray, width: int, value: float) -> np.ndarray:
    """The first `width` columns, filled up with `value` where there are fewer."""
    missing = width - array.shape[-1]
    edges = [(0, 0)] * (array.ndim - 1) + [(0, missing)]
    return np.pad(array, edges, constant_values=value) if missing > 0 else array[..., :width]
