"""Scores computed the slow and obvious way, one clip and one label at a time."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score


def pooled(truth: np.ndarray, scores: np.ndarray, k: int) -> list[tuple[float, bool, float]]:
    """(score, true, weight) of what enters the pool; a tie across the k-th place shares it."""
    entries = []
    for row_truth, row in zip(truth, scores, strict=True):
        cut = sorted(row, reverse=True)[min(k, len(row)) - 1]
        above, tied = int((row > cut).sum()), int((row == cut).sum())
        share = (min(k, len(row)) - above) / tied
        for score, true in zip(row, row_truth, strict=True):
            if score >= cut:
                entries.append((float(score), bool(true), 1.0 if score > cut else share))
    return entries


def gap(truth: np.ndarray, scores: np.ndarray, k: int) -> float:
    """By scikit-learn's average precision, with the recall's denominator put right."""
    values, true, weights = (np.array(part) for part in zip(*pooled(truth, scores, k), strict=True))
    found = float(weights[true].sum())
    if not found:
        return 0.0
    precision = average_precision_score(true, values, sample_weight=weights)
    return float(precision * found / truth.sum())


def mean_average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    columns = [column for column in range(truth.shape[1]) if truth[:, column].any()]
    return float(np.mean([average_precision_score(truth[:, c], scores[:, c]) for c in columns]))


def map_at_k(truth: np.ndarray, scores: np.ndarray, k: int) -> float:
    """For scores without ties."""
    values = []
    for row_truth, row in zip(truth, scores, strict=True):
        if not row_truth.any():
            continue
        found, total = 0, 0.0
        for place, label in enumerate(np.argsort(-row)[:k], start=1):
            if row_truth[label]:
                found += 1
                total += found / place
        values.append(total / row_truth.sum())
    return float(np.mean(values))


def hit_at_k(truth: np.ndarray, scores: np.ndarray, k: int) -> float:
    """For scores without ties."""
    rows = zip(truth, scores, strict=True)
    return float(np.mean([one[np.argsort(-row)[:k]].any() for one, row in rows]))


def perr(truth: np.ndarray, scores: np.ndarray) -> float:
    """For scores without ties."""
    rows = zip(truth, scores, strict=True)
    values = [one[np.argsort(-row)[: one.sum()]].mean() for one, row in rows if one.any()]
    return float(np.mean(values))
