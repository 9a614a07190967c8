"""Scores that are a mean over clips: MAP@k, Hit@k, PERR."""

from __future__ import annotations

import numpy as np

from metrics.errors import MetricError
from metrics.labels import Labels
from metrics.ranking import Ranking, rank


def map_at_k(
    labels: Labels, top_labels: np.ndarray | None, top_scores: np.ndarray, k: int = 10
) -> float:
    """MAP@k: the mean over clips of the sum over i <= k of P(i) * delta r(i).

    The recall is against all true labels of the clip. Clips without labels do not count.

    Args:
        labels: The true labels of N clips.
        top_labels: (N, K) labels, or None where the scores are dense.
        top_scores: (N, K) their scores in any order, or (N, V) dense.
        k: How many labels of a clip are looked at.

    Raises:
        MetricError: A score is NaN or infinite, shapes disagree, or no clip has labels.
    """
    return _mean(average_precisions(rank(labels, top_labels, top_scores, k), labels.counts))


def hit_at_k(
    labels: Labels, top_labels: np.ndarray | None, top_scores: np.ndarray, k: int = 1
) -> float:
    """Hit@k: the share of clips that have a true label among their k best.

    Where labels tie across the k-th place, the hits expected of the places that they share are
    added, up to 1. Arguments and errors as for `map_at_k`; every clip counts.
    """
    return _mean(hits_of_clips(rank(labels, top_labels, top_scores, k)))


def perr(labels: Labels, top_labels: np.ndarray | None, top_scores: np.ndarray) -> float:
    """PERR: the mean over clips that have labels of the precision in their top |G| labels.

    |G| is the number of the clip's true labels; a list that is shorter misses the rest.
    Arguments and errors as for `map_at_k`.
    """
    widest = max(1, int(labels.counts.max(initial=0)))
    return _mean(precisions_at_recall(rank(labels, top_labels, top_scores, widest), labels.counts))


def average_precisions(ranking: Ranking, counts: np.ndarray) -> np.ndarray:
    """The average precision within each clip that has labels.

    Args:
        ranking: The k best labels of N clips.
        counts: (N,) how many true labels each has.

    Returns:
        (clips with labels,) float64.
    """
    width = ranking.scores.shape[1]
    found = np.cumsum(ranking.hits, axis=1)
    # The last place of each place's tie: the next place at which the score falls.
    ends = np.full(ranking.scores.shape, width - 1)
    falls = ranking.scores[:, 1:] < ranking.scores[:, :-1]
    ends[:, :-1] = np.where(falls, np.arange(width - 1), width - 1)
    ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(found, ends, axis=1) / (ends + 1)
    total = (ranking.hits * precision).sum(axis=1)
    return total[counts > 0] / counts[counts > 0]


def hits_of_clips(ranking: Ranking) -> np.ndarray:
    """Whether each clip's ranking holds a true label, (N,) in [0, 1]."""
    return np.minimum(ranking.hits.sum(axis=1), 1.0)


def precisions_at_recall(ranking: Ranking, counts: np.ndarray) -> np.ndarray:
    """The precision in the top |G| labels of each clip that has labels, |G| of them.

    Args:
        ranking: At least max(counts) labels of N clips, or all that are known.
        counts: (N,) how many true labels each has.

    Returns:
        (clips with labels,) float64.
    """
    result = np.zeros(len(counts))
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        part = Ranking(ranking.scores[rows], ranking.hits[rows]).cut(int(count))
        result[rows] = part.hits.sum(axis=1) / count
    return result[counts > 0]


def _mean(values: np.ndarray) -> float:
    if not values.size:
        raise MetricError("no clip has a true label")
    return float(values.mean())
