"""Members of a small ensemble, dense and stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from metrics import Labels, gap
from runs.predictions import Predictions, PredictionsWriter


def store(dense: np.ndarray, k: int) -> Predictions:
    writer = PredictionsWriter(dense.shape[1], k)
    writer.append([f"clip{n}" for n in range(len(dense))], torch.from_numpy(dense))
    return writer.finish()


def make_members(
    members: int, clips: int, columns: int, seed: int = 0, noise: float = 0.5
) -> tuple[np.ndarray, Labels]:
    """Log-odds (M, N, V) that agree up to noise, and labels that they half know."""
    generator = np.random.default_rng(seed)
    common = generator.normal(-5, 1.5, size=(clips, columns))
    truth = generator.random((clips, columns)) < 2.5 / columns
    truth[0, 0] = True
    common[truth] += generator.normal(5, 2, size=int(truth.sum()))
    dense = common + generator.normal(0, noise, size=(members, clips, columns))
    return dense.astype(np.float32), Labels.from_dense(truth)


def dense_mixture(
    dense: np.ndarray, weights: Sequence[float] | np.ndarray, mode: str = "probability"
) -> np.ndarray:
    """The log-odds (N, V) of the weighted mean in float64, over every label."""
    members = dense.astype(np.float64)
    if mode == "log_odds":
        return np.tensordot(weights, members, axes=1)
    yes = np.tensordot(weights, 1 / (1 + np.exp(-members)), axes=1)
    no = np.tensordot(weights, 1 / (1 + np.exp(members)), axes=1)
    return np.log(yes) - np.log(no)


class DenseGap:
    """GAP of a dense mixture, equal to another if float32 rounding can explain the difference.

    Raising the true labels' log-odds by more than the rounding, and lowering them, gives the
    greatest and the least GAP that a computation in float32 may come to. For the greatest, true
    labels nearer to each other than the rounding tie: a tie gives each the precision of all.
    """

    ROUNDING = 3e-6

    def __init__(
        self,
        dense: np.ndarray,
        labels: Labels,
        weights: Sequence[float] | np.ndarray,
        mode: str = "probability",
        k: int = 20,
    ) -> None:
        mixed, shift = dense_mixture(dense, weights, mode), self.ROUNDING * labels.dense()
        self.least = gap(labels, None, mixed - shift, k)
        self.greatest = gap(labels, None, self._tied(mixed + shift, labels.dense() > 0), k)

    def _tied(self, scores: np.ndarray, true: np.ndarray) -> np.ndarray:
        """The scores, where near true ones have that of the best of them."""
        falling = np.sort(scores[true])[::-1]
        best = falling[np.insert(-np.diff(falling) > self.ROUNDING, 0, True)]
        scores[true] = best[np.searchsorted(-best, -scores[true], side="right") - 1]
        return scores

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and (self.least - 1e-12 <= other <= self.greatest + 1e-12)

    def __repr__(self) -> str:
        return f"DenseGap({self.least!r} to {self.greatest!r})"
