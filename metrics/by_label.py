"""Scores of each label by itself, and the labels that stand where it should."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from metrics.average_precision import label_average_precisions
from metrics.labels import Labels
from metrics.ranking import checked_scores, slices, true_pairs
from metrics.thresholds import best_cut, lists_of_labels

CONFUSED = 3
_CELLS = 1 << 23  # of clips by labels that are dense in one go


@dataclass(frozen=True)
class LabelScores:
    """What is found of each of V labels in N clips.

    Attributes:
        clips: (V,) how many have the label.
        average_precision: (V,) NaN where no clip has it.
        precision: (V,) at the threshold with the best F1, of equals the highest; NaN where no clip
            has it, or no list does.
        recall: (V,) there.
        confused: (V, 3) the wrong labels that stand above it most often in the clips that have it,
            most often first; -1 where there are fewer.
        confusions: (V, 3) in how many clips they do.
    """

    clips: np.ndarray
    average_precision: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    confused: np.ndarray
    confusions: np.ndarray


def score_labels(
    labels: Labels, top_labels: np.ndarray, top_scores: np.ndarray, k: int = 20
) -> LabelScores:
    """Scores every label by the lists of N clips.

    Args:
        labels: The true labels.
        top_labels: (N, K) labels, distinct within a clip.
        top_scores: (N, K) scores that are comparable across clips, falling within a clip.
        k: Labels of a clip among which confusions are looked for.

    Raises:
        MetricError: Shapes disagree, or a label is out of range.
    """
    scores = checked_scores(labels, top_labels, top_scores)
    true = true_pairs(labels, top_labels) > 0
    precision, recall = _at_best_f1(labels, top_labels, scores, true)
    unknown = labels.is_unknown(top_labels)
    not_wrong = true if unknown is None else true | unknown
    confused, confusions = _confusions(labels, top_labels[:, :k], not_wrong[:, :k])
    return LabelScores(
        np.bincount(labels.columns, minlength=labels.num_labels),
        label_average_precisions(labels, top_labels, scores),
        precision,
        recall,
        confused,
        confusions,
    )


def _at_best_f1(
    labels: Labels, top_labels: np.ndarray, scores: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall (V,) of each label where their harmonic mean is greatest."""
    positives = np.bincount(labels.columns, minlength=labels.num_labels)
    precision, recall = np.full((2, labels.num_labels), np.nan)
    for label, values, hits in lists_of_labels(labels.num_labels, top_labels, scores, true):
        if positives[label]:
            cut = best_cut(values, hits, int(positives[label]))
            found = int(hits[:cut].sum())
            precision[label] = found / max(cut, 1)
            recall[label] = found / positives[label]
    return precision, recall


def _confusions(
    labels: Labels, best: np.ndarray, not_wrong: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(V, 3) wrong labels above each label, and in how many clips, from the k best (N, k)."""
    parts = [
        _wrong_above(labels, best, not_wrong, rows)
        for rows in slices(len(labels), max(1, _CELLS // labels.num_labels))
    ]
    columns, wrong = (np.concatenate(own) for own in zip(*parts, strict=True))
    shape = (labels.num_labels, labels.num_labels)
    counts = csr_array((np.ones(len(wrong), np.int64), (columns, wrong)), shape=shape)
    counts.sum_duplicates()
    confused = np.full((labels.num_labels, CONFUSED), -1)
    confusions = np.zeros((labels.num_labels, CONFUSED), np.int64)
    for label in np.flatnonzero(np.diff(counts.indptr)).tolist():
        own = slice(counts.indptr[label], counts.indptr[label + 1])
        # Of equals the lower label: the same each time.
        order = np.lexsort((counts.indices[own], -counts.data[own]))[:CONFUSED]
        confused[label, : len(order)] = counts.indices[own][order]
        confusions[label, : len(order)] = counts.data[own][order]
    return confused, confusions


def _wrong_above(
    labels: Labels, best: np.ndarray, not_wrong: np.ndarray, rows: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (n,) of a true label and a wrong one above it, of some clips."""
    width = best.shape[1]
    listed = best[rows].astype(np.int64)
    places = np.full((len(listed), labels.num_labels), width, np.int32)
    np.put_along_axis(places, listed, np.arange(width, dtype=np.int32)[None], axis=1)
    counts = labels.counts[rows]
    clips = np.repeat(np.arange(len(listed)), counts)
    columns = labels.columns[labels.offsets[rows.start] : labels.offsets[rows.stop]]
    above = np.arange(width) < places[clips, columns][:, None]
    pair, place = np.nonzero(above & ~not_wrong[rows][clips])
    return columns[pair], listed[clips[pair], place]
