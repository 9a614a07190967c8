"""From which score on a clip is given a label: a threshold for each label, chosen on other clips.

A label's clips are sorted by its score, and the list is cut where it does best (RCut, PCut and SCut
of Yang 2001, "A Study on Thresholding Strategies for Text Categorization"; this is SCut). Of few
positives the best cut is that of their noise: such labels share a threshold, which is cut from the
lists of all labels together.
"""

from collections.abc import Iterator

import numpy as np

from metrics.labels import Labels
from metrics.ranking import checked_scores, true_pairs

FEWEST = 10  # clips that have a label, from which on it has a threshold of its own


def choose_thresholds(
    labels: Labels,
    top_labels: np.ndarray,
    top_scores: np.ndarray,
    precision: float | None = None,
    fewest: int = FEWEST,
) -> np.ndarray:
    """Thresholds (V,) float32 from the lists of N clips; a label is given from its own on.

    Unknown labels are in no list.

    A threshold lies half way between the last score that is taken and the first that is not.

    Args:
        labels: The true labels.
        top_labels: (N, K) labels, distinct within a clip; what is not listed is never given.
        top_scores: (N, K) float32.
        precision: What is wanted of each label: the lowest threshold at which that share of the
            clips that are given it have it, and inf where there is none. None: the best F1.
        fewest: Clips that have a label, below which it has the threshold that all share.

    Raises:
        MetricError: Shapes disagree, or a label is out of range.
    """
    scores = checked_scores(labels, top_labels, top_scores)
    true = true_pairs(labels, top_labels) > 0
    listed, scores, true = top_labels.ravel(), scores.ravel(), true.ravel()
    unknown = labels.is_unknown(top_labels)
    if unknown is not None:
        listed, scores, true = (array[~unknown.ravel()] for array in (listed, scores, true))
    positives = np.bincount(labels.columns, minlength=labels.num_labels)
    order = np.argsort(-scores, kind="stable")
    shared = _threshold(scores[order], true[order], labels.columns.size, precision, np.inf)
    thresholds = np.full(labels.num_labels, shared)
    for label, values, hits in lists_of_labels(labels.num_labels, listed, scores, true):
        if positives[label] >= fewest:
            # For F1, none is better than a cut behind which nothing is true.
            fallback = shared if precision is None else np.inf
            thresholds[label] = _threshold(values, hits, positives[label], precision, fallback)
    return thresholds.astype(np.float32)


def lists_of_labels(
    num_labels: int, top_labels: np.ndarray, scores: np.ndarray, true: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """By label that any clip lists, its scores from the best down, and whether it is true.

    Args:
        num_labels: V.
        top_labels: Labels of clips, of any shape.
        scores: Theirs, of that shape, and so is `true`.
        true: Bool.
    """
    order = np.lexsort((-scores.ravel(), top_labels.ravel()))
    values, hits = scores.ravel()[order], true.ravel()[order]
    ends = np.cumsum(np.bincount(top_labels.ravel().astype(np.int64), minlength=num_labels))
    begin = 0
    for label, end in enumerate(ends.tolist()):
        if end > begin:
            yield label, values[begin:end], hits[begin:end]
        begin = end


def best_cut(
    values: np.ndarray, hits: np.ndarray, positives: int, precision: float | None = None
) -> int:
    """How many of a list are best taken; equal scores are taken together.

    Args:
        values: (n,) falling scores, n at least 1.
        hits: (n,) bool.
        positives: True ones, listed or not.
        precision: As in `choose_thresholds`.

    Returns:
        From 0 to n; of cuts with the same F1 the first.
    """
    found, count = np.cumsum(hits), np.arange(1, len(hits) + 1)
    ends = np.append(values[1:] < values[:-1], True)
    if precision is None:
        # F1 = 2 TP / (taken + positives), without the 2.
        f1 = np.where(ends, found, 0) / (count + positives)
        best = int(f1.argmax())
        return best + 1 if found[best] else 0
    fine = np.flatnonzero(ends & (found / count >= precision))
    return int(fine[-1]) + 1 if fine.size else 0


def _threshold(
    values: np.ndarray, hits: np.ndarray, positives: int, precision: float | None, fallback: float
) -> float:
    """Of one list: a float32 between what is taken and what is not; `fallback` for an empty cut."""
    cut = best_cut(values, hits, positives, precision) if len(values) else 0
    if cut == 0:
        return fallback
    last = float(values[cut - 1])
    if cut == len(values):
        return last
    following = float(values[cut])
    middle = float(np.float32((last + following) / 2))
    return middle if middle > following else last
