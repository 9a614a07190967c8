"""Whether what is said to be true with some probability is true as often."""

from dataclasses import dataclass

import numpy as np

from metrics.labels import Labels
from metrics.ranking import checked_scores, true_pairs

BINS = 20


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram over the labels that are listed.

    Attributes:
        said: (B,) the mean probability of each bin that is not empty.
        true: (B,) the share of true labels in it.
        count: (B,) how many labels fell into it.
        error: Expected calibration error: the mean distance of the two over all labels (Naeini et
            al. 2015).
    """

    said: np.ndarray
    true: np.ndarray
    count: np.ndarray
    error: float


def calibrate(labels: Labels, top_labels: np.ndarray, log_odds: np.ndarray) -> Calibration:
    """Compares probabilities with truth in bins of equal width; unknown labels are left out.

    Args:
        labels: The true labels of N clips.
        top_labels: (N, K) labels.
        log_odds: (N, K) theirs.

    Raises:
        MetricError: Shapes disagree, or a label is out of range.
    """
    scores = checked_scores(labels, top_labels, log_odds).astype(np.float64)
    said = (0.5 + 0.5 * np.tanh(scores / 2)).ravel()
    true = true_pairs(labels, top_labels).ravel()
    unknown = labels.is_unknown(top_labels)
    if unknown is not None:
        said, true = said[~unknown.ravel()], true[~unknown.ravel()]
    places = np.minimum((said * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(places, minlength=BINS)
    filled = count > 0
    means, shares = (
        np.bincount(places, values, minlength=BINS)[filled] / count[filled]
        for values in (said, true)
    )
    error = float(np.average(abs(means - shares), weights=count[filled]))
    return Calibration(means, shares, count[filled], error)
