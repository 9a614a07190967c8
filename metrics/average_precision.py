"""Average precision, and the scores that are one: GAP@k and MAP."""

import numpy as np

from metrics.errors import MetricError
from metrics.labels import Labels
from metrics.ranking import checked_scores, rank, refuse_non_finite, true_pairs


def average_precision(scores: np.ndarray, hits: np.ndarray, positives: int) -> float:
    """The sum over the sorted list of p(i) * delta r(i), equal scores being one threshold.

    Args:
        scores: (n,) in any order.
        hits: (n,) 1 for true, 0 for wrong, or a share in between.
        positives: The recall's denominator: every positive, found or not.

    Raises:
        MetricError: There are no positives.
    """
    if positives < 1:
        raise MetricError("there is no true label, so precision and recall are not defined")
    true = hits > 0
    order = np.argsort(scores[true])
    true_scores = scores[true][order]
    true_hits = hits[true][order]
    # What stands at a score or above it: for a tie, the end of the whole group.
    above = scores.size - np.searchsorted(np.sort(scores), true_scores)
    hits_below = np.concatenate(([0.0], np.cumsum(true_hits)))
    hits_above = hits_below[-1] - hits_below[np.searchsorted(true_scores, true_scores)]
    return float((true_hits * hits_above / above).sum() / positives)


def gap(
    labels: Labels, top_labels: np.ndarray | None, top_scores: np.ndarray, k: int = 20
) -> float:
    """Global average precision over the pooled k best labels of every clip (GAP@k).

    The sum of p(i) * delta r(i) over the pooled, sorted list; the recall's denominator is the
    number of all positive labels, also of those outside the k best.

    Args:
        labels: The true labels of N clips.
        top_labels: (N, K) labels, or None where the scores are dense.
        top_scores: (N, K) their scores in any order and on any monotonous scale, or (N, V).
        k: Labels of a clip that enter the pool.

    Raises:
        MetricError: A score is NaN or infinite, shapes disagree, or nothing is true.

    Example:
        >>> labels = Labels.from_dense(np.array([[1, 0, 0], [0, 1, 1]]))
        >>> gap(labels, None, np.array([[0.9, 0.1, 0.2], [0.3, 0.8, 0.1]]), k=1)
        0.6666666666666666
    """
    ranking = rank(labels, top_labels, top_scores, k)
    return average_precision(ranking.scores.ravel(), ranking.hits.ravel(), labels.columns.size)


def mean_average_precision(labels: Labels, top_labels: np.ndarray, top_scores: np.ndarray) -> float:
    """MAP: the mean, over labels that have a positive, of the label's average precision.

    A label that is missing from a clip's list counts as not found there, so that lists shorter
    than V give a lower bound. The arguments are those of `label_average_precisions`.

    Raises:
        MetricError: A score is NaN or infinite, shapes disagree, or nothing is true.
    """
    precisions = label_average_precisions(labels, top_labels, top_scores)
    if not labels.columns.size:
        raise MetricError("there is no true label, so precision and recall are not defined")
    return float(np.mean(precisions[~np.isnan(precisions)]))


def label_average_precisions(
    labels: Labels, top_labels: np.ndarray, top_scores: np.ndarray
) -> np.ndarray:
    """The average precision of each label over all clips, (V,); NaN where no clip has it.

    Args:
        labels: The true labels of N clips.
        top_labels: (N, K) labels.
        top_scores: (N, K) scores that are comparable across clips. Finite.

    Raises:
        MetricError: A score is NaN or infinite, or shapes disagree.
    """
    scores = checked_scores(labels, top_labels, top_scores)
    refuse_non_finite(scores)
    listed, scores, hits = (
        array.ravel() for array in (top_labels, scores, true_pairs(labels, top_labels))
    )
    ends = np.cumsum(np.bincount(listed, minlength=labels.num_labels))
    by_label = np.split(np.argsort(listed, kind="stable"), ends[:-1])
    positives = np.bincount(labels.columns, minlength=labels.num_labels).tolist()
    return np.array(
        [
            average_precision(scores[places], hits[places], count) if count else np.nan
            for places, count in zip(by_label, positives, strict=True)
        ]
    )
