"""The means over clips that `StreamingScores` computes batch by batch, of all clips at once."""

from __future__ import annotations

import numpy as np

from metrics import Labels
from metrics.clips import average_precisions, hits_of_clips, precisions_at_recall
from metrics.ranking import rank


def map_at_k(
    labels: Labels, top_labels: np.ndarray | None, top_scores: np.ndarray, k: int = 10
) -> float:
    ranking = rank(labels, top_labels, top_scores, k)
    return float(average_precisions(ranking, labels.counts).mean())


def hit_at_k(
    labels: Labels, top_labels: np.ndarray | None, top_scores: np.ndarray, k: int = 1
) -> float:
    return float(hits_of_clips(rank(labels, top_labels, top_scores, k)).mean())


def perr(labels: Labels, top_labels: np.ndarray | None, top_scores: np.ndarray) -> float:
    widest = max(1, int(labels.counts.max(initial=0)))
    ranking = rank(labels, top_labels, top_scores, widest)
    return float(precisions_at_recall(ranking, labels.counts).mean())
