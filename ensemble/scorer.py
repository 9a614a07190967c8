"""The GAP of many weightings of the same members, from their sparse predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from joblib import Parallel, delayed

from ensemble.candidates import union_candidates
from ensemble.chunks import enters, lay_out, mixed_scores, straddles
from ensemble.errors import EnsembleError
from ensemble.mixing import check_mode, check_weights, mix
from ensemble.pool import average_precision_of_keys, encode
from metrics import Labels, Ranking, gap_of_ranking
from runs.predictions import Predictions, PredictionsWriter

BLOCK_WEIGHTINGS = 16
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
    dense predictions.

    Scores are ranked as odds, sum w p / sum w (1 - p), in float32: their order is that of the
    probabilities, but odds do not saturate. Log-odds beyond 87 in either direction tie.

    Args:
        predictions: One of each member, of the same clips in the same order.
        labels: The true labels of those clips.
        mix: "probability" or "log_odds"; see `ensemble.mix`.
        k: Labels of a clip that count.
        threads: How many threads to score on; None for as many as torch may use.

    Raises:
        EnsembleError: The predictions are not of the same clips and labels, store fewer than k
            labels, or nothing is true.

    Example:
        >>> scorer = WeightedScorer(predictions, labels)  # doctest: +SKIP
        >>> scorer.gap(np.full((1, 3), 1 / 3)).gap  # doctest: +SKIP
        array([0.71...])
    """

    def __init__(
        self,
        predictions: Sequence[Predictions],
        labels: Labels,
        *,
        mix: str = "probability",
        k: int = 20,
        threads: int | None = None,
    ) -> None:
        check_mode(mix)
        if not labels.columns.size:
            raise EnsembleError(f"none of the {len(labels)} clips has a true label")
        self.mode = mix
        self.k = min(k, labels.num_labels)
        self.threads = threads or torch.get_num_threads()
        self._labels = labels
        self._predictions = list(predictions)
        candidates = union_candidates(predictions, labels, self.k)
        self._chunks = list(lay_out(candidates, mix, self.k))

    @property
    def num_members(self) -> int:
        """M."""
        return len(self._predictions)

    def gap(self, weights: np.ndarray) -> GapResult:
        """Scores weightings.

        Args:
            weights: (W, M), rows not negative with sum 1.

        Raises:
            EnsembleError: The weights are not of that kind.
        """
        weights = check_weights(weights, self.num_members)
        blocks = [
            weights[start : start + BLOCK_WEIGHTINGS]
            for start in range(0, len(weights), BLOCK_WEIGHTINGS)
        ]
        # Threads: numpy sorts and multiplies without the interpreter's lock, on shared arrays.
        score = delayed(self._score_block)
        results = Parallel(self.threads, prefer="threads")(score(block) for block in blocks)
        if not results:
            return GapResult(np.zeros(0), np.zeros(0, dtype=bool))
        return GapResult(
            np.concatenate([result.gap for result in results]),
            np.concatenate([result.exact for result in results]),
        )

    def mixed(self, weights: np.ndarray) -> Predictions:
        """The predictions of the ensemble under one weighting (M,).

        It stores as many labels as the member that stores fewest. Labels that a member did not
        store are mixed with its bound.
        """
        weights = check_weights(np.asarray(weights)[None], self.num_members)[0]
        first = self._predictions[0]
        writer = PredictionsWriter(first.num_labels, min(p.stored for p in self._predictions))
        clips, cells = len(self._labels), first.num_labels * self.num_members
        step = max(1, DENSE_CELLS // cells)
        for start in range(0, clips, step):
            rows = slice(start, min(start + step, clips))
            dense = np.stack([own.select(rows).to_dense() for own in self._predictions])
            mixed = mix(torch.from_numpy(dense), torch.from_numpy(weights), self.mode)
            writer.append(first.ids[rows].tolist(), mixed)
        return writer.finish()

    def _pooled_gap(self, rankings: Sequence[Ranking]) -> float:
        return gap_of_ranking(
            Ranking(
                np.concatenate([ranking.scores for ranking in rankings]),
                np.concatenate([ranking.hits for ranking in rankings]),
            ),
            self._labels.columns.size,
        )

    def _score_block(self, weights: np.ndarray) -> GapResult:
        """Scores a few weightings (B, M) chunk by chunk, so that a chunk is read only once."""
        places = len(self._labels) * self.k
        pool = np.empty((len(weights), places), dtype=np.uint32)
        exact = np.ones(len(weights), dtype=bool)
        straddled = np.zeros(len(weights), dtype=bool)
        light = weights.astype(np.float32)
        for chunk in self._chunks:
            keys = encode(mixed_scores(chunk, light)).reshape(len(weights), *chunk.shape)
            unsure = keys.reshape(len(weights), -1)[:, chunk.unsure]
            np.bitwise_or(keys, chunk.flags, out=keys)
            keys.sort(axis=2)
            best = keys[:, :, -self.k :]
            start = chunk.first * self.k
            pool[:, start : start + chunk.shape[0] * self.k] = best.reshape(len(weights), -1)
            exact &= ~enters(chunk, unsure, best[:, :, 0] >> 1 << 1, weights)
            straddled |= straddles(keys, self.k)
        positives = self._labels.columns.size
        gap = np.array([average_precision_of_keys(keys, positives) for keys in pool])
        for row in np.flatnonzero(straddled):
            gap[row] = self._gap_sharing_ties(light[row])
        return GapResult(gap, exact)

    def _gap_sharing_ties(self, weights: np.ndarray) -> float:
        """GAP of one weighting (M,) under which true and wrong labels tie across the k-th place."""
        rankings = []
        for chunk in self._chunks:
            scores = mixed_scores(chunk, weights[None]).reshape(chunk.shape)
            order = np.argsort(-scores, axis=1)
            hits = chunk.flags.astype(np.float64)
            rankings.append(
                Ranking(
                    np.take_along_axis(scores, order, axis=1),
                    np.take_along_axis(hits, order, axis=1),
                ).cut(self.k)
            )
        return self._pooled_gap(rankings)
