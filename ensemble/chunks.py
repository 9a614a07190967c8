"""Clips laid out for mixing: a few at a time, so that many weightings find them in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from ensemble.candidates import Candidates, columns

CHUNK_CELLS = 1 << 14  # candidates in a chunk: its scores under many weightings stay in the cache
WIDTH_STEP = 8  # clips are grouped by their number of candidates, rounded up to this
LIMIT = 87.0  # greatest log-odds whose probability and complement are both normal float32
LOWEST = -1e4  # stands for -inf where log-odds are mixed: a weight of 0 must not make it NaN


@dataclass(frozen=True)
class Chunk:
    """A few clips with equally many candidates, laid out for mixing.

    Attributes:
        first: Where the clips' places in the pool begin.
        clips: (R,) the numbers of the clips.
        terms: (T, M, R * C) float32: what is summed over members by the weights; probabilities
            and their complements, or log-odds.
        flags: (R clips, C candidates) uint32, 1 for a true label.
        missing: (M, R * C) bool: which members did not store a label.
    """

    first: int
    clips: np.ndarray
    terms: np.ndarray
    flags: np.ndarray
    missing: np.ndarray

    @cached_property
    def unsure(self) -> np.ndarray:
        """(R, C) bool: the labels that some member did not store."""
        return np.asarray(self.missing.any(axis=0)).reshape(self.flags.shape)

    def of(self, members: Sequence[int]) -> Chunk:
        """The same clips, of some of the members."""
        rows = list(members)
        return replace(self, terms=self.terms[:, rows], missing=self.missing[rows])


def lay_out(candidates: Candidates, mode: str, k: int, start: int = 0) -> Iterator[Chunk]:
    """Groups clips by their number of candidates and cuts the groups into chunks.

    Args:
        candidates: Of the clips.
        mode: What is mixed.
        k: Labels of a clip that count.
        start: The number of the first clip, among more clips than these.
    """
    counts = np.isfinite(candidates.log_odds[0]).sum(axis=1)
    widths = np.maximum(-(-counts // WIDTH_STEP) * WIDTH_STEP, k)
    first = start
    for width in np.unique(widths):
        clips = np.flatnonzero(widths == width)
        step = max(1, CHUNK_CELLS // int(width))
        for place in range(0, clips.size, step):
            rows = clips[place : place + step]
            yield replace(_chunk(candidates, rows, int(width), mode, first), clips=rows + start)
            first += rows.size


def _chunk(candidates: Candidates, rows: np.ndarray, width: int, mode: str, first: int) -> Chunk:
    members = len(candidates.log_odds)
    flags = columns(candidates.hits[rows], width, 0).astype(np.uint32)
    log_odds = columns(candidates.log_odds[:, rows], width, -np.inf).reshape(members, -1)
    missing = columns(candidates.unknown[:, rows], width, False).reshape(members, -1)
    return Chunk(first, rows, _terms(log_odds, mode), flags, missing)


def _terms(log_odds: np.ndarray, mode: str) -> np.ndarray:
    """What weights sum over members (T, M, cells): see `mixed_scores`. Blanks hold -inf."""
    if mode == "log_odds":
        return np.maximum(log_odds, LOWEST)[None] / 4
    clipped = torch.from_numpy(np.clip(log_odds, -LIMIT, LIMIT))
    terms = torch.stack([torch.sigmoid(clipped), torch.sigmoid(-clipped)]).numpy()
    terms[0][np.isneginf(log_odds)] = 0
    return terms


def mixed_scores(chunk: Chunk, weights: np.ndarray) -> np.ndarray:
    """Scores (B, cells) float32, not negative, in the order of the mixture's log-odds.

    They are its odds, or, where log-odds are mixed, the fourth root of its odds, which does not
    overflow. Members that have no weight (B, M) in any mixture cost nothing.
    """
    active = np.flatnonzero(weights.any(axis=0))
    terms = iter(chunk.terms)
    if active.size < len(weights.T):
        weights, terms = weights[:, active], (term[active] for term in chunk.terms)
    scores, *rest = (np.matmul(weights, term) for term in terms)
    if not rest:
        return np.exp(scores, out=scores)
    return np.divide(scores, rest[0], out=scores)


def enters(chunk: Chunk, keys: np.ndarray, lowest: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Under which weightings (B,) a label that a member did not store is among the k best.

    Args:
        chunk: The clips.
        keys: (B, R, C) those of all labels, without flags.
        lowest: (B, R) those of the k-th best labels, without flags.
        weights: (B, M); a member of weight 0 need not have stored anything.
    """
    inside = ((keys >= lowest[:, :, None]) & chunk.unsure).reshape(len(keys), chunk.unsure.size)
    cells = np.flatnonzero(inside.any(axis=0))
    missing = (weights > 0).astype(np.float32) @ chunk.missing[:, cells]
    return np.asarray((inside[:, cells] & (missing > 0)).any(axis=1))


def straddles(keys: np.ndarray, k: int) -> np.ndarray:
    """Under which weightings (B,) a true and a wrong label tie across the k-th place of a clip.

    The keys (B, R, C) rise within a clip.
    """
    result = np.zeros(len(keys), dtype=bool)
    if keys.shape[2] <= k:
        return result
    tied = (keys[:, :, -k] ^ keys[:, :, -k - 1]) <= 1
    if not tied.any():
        return result
    for weighting, clip in np.argwhere(tied):
        ranked = keys[weighting, clip]
        same = ranked[(ranked ^ ranked[-k]) <= 1]
        result[weighting] |= same[0] != same[-1]
    return result
