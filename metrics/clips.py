"""Scores of single clips, whose means are MAP@k, Hit@k and PERR."""

import numpy as np

from metrics.labels import Labels
from metrics.ranking import Ranking, true_pairs


def average_precisions(ranking: Ranking, counts: np.ndarray) -> np.ndarray:
    """The average precision within each clip that has labels; MAP@k is its mean.

    It is the sum over i <= k of P(i) * delta r(i), and the recall is against all true labels, of
    which `counts` (N,) has the numbers.
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
    """Whether each clip's ranking holds a true label, (N,) in [0, 1]; Hit@k is its mean.

    Where labels tie across the k-th place, the hits expected of the places that they share are
    added, up to 1.
    """
    return np.minimum(ranking.hits.sum(axis=1), 1.0)


def precisions_at_recall(ranking: Ranking, counts: np.ndarray) -> np.ndarray:
    """The precision in the top |G| labels of each clip that has labels; PERR is its mean.

    |G| is the number of the clip's true labels, in `counts` (N,); a ranking that is shorter than
    that misses the rest.
    """
    result = np.zeros(len(counts))
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        part = Ranking(ranking.scores[rows], ranking.hits[rows]).cut(int(count))
        result[rows] = part.hits.sum(axis=1) / count
    return result[counts > 0]


def cross_entropies(
    labels: Labels,
    top_labels: np.ndarray,
    log_odds: np.ndarray,
    left_out: np.ndarray,
    tail: np.ndarray,
) -> np.ndarray:
    """The cross-entropy of each clip's labels in nats, (N,): how surprising they are.

    Args:
        labels: The true labels of N clips.
        top_labels: (N, K) those that are listed.
        log_odds: (N, K) theirs.
        left_out: (N,) the greatest log-odds that is not listed, with which true labels that are not
            count: the result is a lower bound then.
        tail: (N,) the summed probability of what is not listed.
    """
    true = true_pairs(labels, top_labels) > 0
    losses = np.logaddexp(0, np.where(true, -log_odds, log_odds).astype(np.float64))
    unknown = labels.is_unknown(top_labels)
    listed = (losses if unknown is None else np.where(unknown, 0, losses)).sum(axis=1)
    missing = labels.counts - true.sum(axis=1)
    bound = np.where(missing > 0, left_out, 0.0).astype(np.float64)
    # -log(1 - p) is p or more, and about that where p is small. The tail holds true labels too.
    wrong = np.maximum(tail - missing * (0.5 + 0.5 * np.tanh(bound / 2)), 0)
    return np.asarray(listed + missing * np.logaddexp(0, -bound) + wrong)
