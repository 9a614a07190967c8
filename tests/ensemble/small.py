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


def dense_gap(
    dense: np.ndarray, labels: Labels, weights: Sequence[float] | np.ndarray, mode: str, k: int
) -> float:
    """GAP of the weighted mean in float64, over every label."""
    members = dense.astype(np.float64)
    if mode == "log_odds":
        mixed = np.tensordot(weights, members, axes=1)
    else:
        mixed = np.tensordot(weights, 1 / (1 + np.exp(-members)), axes=1)
        # Odds instead of probabilities: 1 - 1e-17 and 1 - 1e-18 differ, but not in float64.
        mixed /= np.tensordot(weights, 1 / (1 + np.exp(members)), axes=1)
    return gap(labels, None, mixed, k)
