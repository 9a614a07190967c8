"""The GAP of many weightings of the same members, from their sparse predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch

from common.threads import on_threads
from ensemble.candidates import check_alike, union_candidates
from ensemble.chunks import Chunk, enters, lay_out, mixed_scores, straddles
from ensemble.errors import EnsembleError
from ensemble.mixing import check_mode, check_weights, mix
from ensemble.pool import average_precision_of_keys, encode
from metrics import Labels, bootstrap
from metrics.average_precision import average_precision
from metrics.ranking import Ranking, slices
from runs.predictions import Predictions, PredictionsWriter

BLOCK_WEIGHTINGS = 16
SLAB_CLIPS = (
    1 << 16
)  # clips that are laid out in one go: on the way they take several times the room
DENSE_CELLS = 1 << 23  # cells of (members, clips, labels) that are dense in one go


@dataclass(frozen=True)
class GapResult:
    """The scores of W weightings.

    Attributes:
        gap: (W,) float64, GAP@k of each.
        exact: (W,) bool: whether the labels that members did not store provably cannot matter.
    """

    gap: np.ndarray
    exact: np.ndarray


class WeightedScorer:
    """Scores weightings of M members on N clips.

    The labels that can be among a clip's k best are found once, from the union of what the
    members stored; each weighting then mixes those alone. A label that a member did not store
    counts with the bound that was stored in its place, the greatest value it can have had. A
    weighting is exact if no such label comes among the k best: at their true values, which are
    lower still, these labels would not either. All others are known, so the GAP is that of
    dense predictions. Labels that are unknown of a clip are no candidates there.

    Scores are ranked as odds, sum w p / sum w (1 - p), in float32: their order is that of the
    probabilities, but odds do not saturate. Log-odds beyond 87 in either direction tie.

    Args:
        predictions: One of each member, of the same clips in the same order.
        labels: The true labels of those clips.
        mix: "probability" or "log_odds"; see `ensemble.mix`.
        k: Labels of a clip that count.

    Raises:
        EnsembleError: The predictions are not of the same clips and labels, store fewer than k
            labels, or nothing is true.
    """

    def __init__(
        self,
        predictions: Sequence[Predictions],
        labels: Labels,
        *,
        mix: str = "probability",
        k: int = 20,
    ) -> None:
        check_mode(mix)
        if not labels.columns.size:
            raise EnsembleError(f"none of the {len(labels)} clips has a true label")
        self.num_members = len(predictions)
        self._mode = mix
        self._k = min(k, labels.num_labels)
        self._labels = labels
        self._predictions = list(predictions)
        check_alike(predictions, labels, self._k)
        self._chunks = [chunk for rows in self._slabs() for chunk in self._laid_out(rows)]

    def _slabs(self) -> list[slice]:
        return slices(len(self._labels), SLAB_CLIPS)

    def _laid_out(self, rows: slice) -> Iterator[Chunk]:
        """The chunks of some clips, which have their places in the pool after those before."""
        own = [member.select(rows) for member in self._predictions]
        candidates = union_candidates(own, self._labels.select(rows), self._k)
        return lay_out(candidates, self._mode, self._k, rows.start)

    def gap(self, weights: np.ndarray) -> GapResult:
        """Scores weightings (W, M), rows not negative with sum 1, on all threads of the process.

        Raises:
            EnsembleError: The weights are not of that kind.
        """
        exact = np.ones(len(weights), dtype=bool)
        return GapResult(self._scored(weights, exact), exact)

    def search_gap(self, weights: np.ndarray) -> np.ndarray:
        """The GAP (W,) of the same without proof that it is exact, which a search does not ask for.

        Raises:
            EnsembleError: The weights are not of that kind.
        """
        return self._scored(weights, None)

    def _scored(self, weights: np.ndarray, exact: np.ndarray | None) -> np.ndarray:
        weights = check_weights(weights, self.num_members)
        gap = np.empty(len(weights))

        def score_block(rows: slice) -> None:
            self._score_block(weights[rows], gap[rows], None if exact is None else exact[rows])

        on_threads(score_block, slices(len(weights), BLOCK_WEIGHTINGS))
        return gap

    def of(self, members: Sequence[int]) -> WeightedScorer:
        """One of some of the members, from what is laid out for all, and so soon made.

        Of weightings that are not exact its GAP may be another than that of a scorer made of the
        predictions of these members alone.
        """
        part = copy(self)
        part.num_members = len(members)
        part._predictions = [self._predictions[member] for member in members]
        part._chunks = [chunk.of(members) for chunk in self._chunks]
        return part

    def resampled_gap(self, weights: np.ndarray) -> np.ndarray:
        """GAP of each of the draws of `metrics.bootstrap` under one weighting (M,).

        Where true and wrong labels tie across the k-th place, the true ones are taken for better.
        """
        pool, _ = self._pool(check_weights(weights[None], self.num_members))
        keys = np.empty((len(self._labels), self._k), dtype=np.int64)
        # The pool has the clips in the order of the chunks.
        keys[np.concatenate([chunk.clips for chunk in self._chunks])] = pool.reshape(keys.shape)
        ranking = Ranking(keys[:, ::-1] >> 1, (keys[:, ::-1] & 1).astype(np.float64))
        return bootstrap.resampled_gap(ranking, self._labels.counts)

    def mixed(self, weights: np.ndarray) -> Predictions:
        """The predictions of the ensemble under one weighting (M,).

        It stores as many labels as the member that stores fewest. Labels that a member did not
        store are mixed with its bound.
        """
        first = self._predictions[0]
        writer = PredictionsWriter(first.num_labels, min(p.stored for p in self._predictions))
        step = max(1, DENSE_CELLS // (first.num_labels * self.num_members))
        for rows in slices(len(self._labels), step):
            dense = np.stack([own.select(rows).to_dense() for own in self._predictions])
            mixed = mix(torch.from_numpy(dense), torch.from_numpy(weights), self._mode)
            unknown = self._labels.is_unknown(None, rows)
            mask = None if unknown is None else torch.from_numpy(unknown)
            writer.append(first.ids[rows].tolist(), mixed, mask)
        return writer.finish()

    def _score_block(self, weights: np.ndarray, gap: np.ndarray, exact: np.ndarray | None) -> None:
        pool, straddled = self._pool(weights, exact)
        positives = self._labels.columns.size
        gap[:] = [average_precision_of_keys(keys, positives) for keys in pool]
        for row in np.flatnonzero(straddled):
            gap[row] = self._gap_sharing_ties(weights[row].astype(np.float32))

    def _pool(
        self, weights: np.ndarray, exact: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The keys of the k best labels of every clip under a few weightings (B, M).

        It goes chunk by chunk, so that a chunk is read only once.

        Args:
            weights: (B, M).
            exact: (B,) bool, where it is asked for: set to False where nothing is proven.

        Returns:
            (B, N * k) uint32, rising within a clip; (B,) bool, whether true and wrong labels tie
            across a k-th place.
        """
        pool = np.empty((len(weights), len(self._labels) * self._k), dtype=np.uint32)
        straddled = np.zeros(len(weights), dtype=bool)
        doubtful = np.zeros(len(weights), dtype=bool)
        light = weights.astype(np.float32)
        for chunk in self._chunks:
            keys = encode(mixed_scores(chunk, light)).reshape(len(weights), *chunk.flags.shape)
            if exact is not None:
                doubtful = exact & chunk.unsure.any()
            unsorted = keys[doubtful]
            np.bitwise_or(keys, chunk.flags, out=keys)
            keys.sort(axis=2)
            best = keys[:, :, -self._k :]
            start = chunk.first * self._k
            pool[:, start : start + len(chunk.flags) * self._k] = best.reshape(len(weights), -1)
            if exact is not None:
                lowest = best[doubtful, :, 0] >> 1 << 1
                exact[doubtful] = ~enters(chunk, unsorted, lowest, weights[doubtful])
            straddled |= straddles(keys, self._k)
        return pool, straddled

    def _gap_sharing_ties(self, weights: np.ndarray) -> float:
        """GAP of one weighting (M,) under which true and wrong labels tie across the k-th place."""
        pools = []
        for chunk in self._chunks:
            scores = mixed_scores(chunk, weights[None]).reshape(chunk.flags.shape)
            order = np.argsort(-scores, axis=1)
            hits = chunk.flags.astype(np.float64)
            ranked = (np.take_along_axis(values, order, axis=1) for values in (scores, hits))
            best = Ranking(*ranked).cut(self._k)
            pools.append((best.scores.ravel(), best.hits.ravel()))
        scores, hits = (np.concatenate(parts) for parts in zip(*pools, strict=True))
        return average_precision(scores, hits, self._labels.columns.size)
