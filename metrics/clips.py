"""Scores of single clips, whose means are MAP@k, Hit@k and PERR."""

import numpy as np

from metrics.ranking import Ranking


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
