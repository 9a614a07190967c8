"""The scores of multi-label tagging: GAP@k, MAP, MAP@k, Hit@k, PERR."""

from __future__ import annotations

from metrics.average_precision import average_precision, gap, gap_of_ranking, mean_average_precision
from metrics.errors import MetricError
from metrics.labels import Labels
from metrics.ranking import Ranking, best_labels, rank, true_pairs
from metrics.streaming import StreamingScores

__all__ = [
    "Labels",
    "MetricError",
    "Ranking",
    "StreamingScores",
    "average_precision",
    "best_labels",
    "gap",
    "gap_of_ranking",
    "mean_average_precision",
    "rank",
    "true_pairs",
]
