"""What each member of an ensemble adds, and how alike their mistakes are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.scorer import WeightedScorer
from metrics import Labels
from metrics.bootstrap import standard_error
from metrics.ranking import slices, true_pairs
from runs.predictions import Predictions

_CELLS = 1 << 23  # of clips by labels that are dense in one go


@dataclass(frozen=True)
class Contribution:
    """GAP of the ensemble without a member, the others' weights grown to sum to 1.

    Attributes:
        without: That GAP.
        gain: What the member adds.
        error: The standard error of that, over the same draws of the clips.
    """

    without: float
    gain: float
    error: float


def contributions(
    scorer: WeightedScorer, weights: np.ndarray, members: Sequence[Sequence[int]]
) -> list[Contribution | None]:
    """Leaves out one member after another; None for one that has no weight, or all of it.

    Args:
        scorer: Of models.
        weights: (M,) theirs, not negative, summing to 1.
        members: For each member, the places of its models.
    """
    whole, drawn = float(scorer.gap(weights[None]).gap[0]), scorer.resampled_gap(weights)

    def without(models: Sequence[int]) -> Contribution | None:
        rest = weights.copy()
        rest[list(models)] = 0.0
        if not 0 < rest.sum() < weights.sum():
            return None
        rest /= rest.sum()
        gap = float(scorer.gap(rest[None]).gap[0])
        error = standard_error(drawn - scorer.resampled_gap(rest))
        return Contribution(gap, whole - gap, error)

    return [without(models) for models in members]


def error_correlations(
    members: Sequence[Predictions], labels: Labels, asked: np.ndarray
) -> np.ndarray:
    """How alike the members' errors are, (M, M): the correlation of probability less truth.

    Members whose mistakes are the same gain nothing from each other.

    Args:
        members: Of the same N clips.
        labels: Their true labels.
        asked: (N, k) the labels of each clip that count: the ensemble's best. A label that a member
            did not store counts with its bound.
    """
    true = true_pairs(labels, asked)
    errors = np.empty((len(members), asked.size), np.float32)
    for own, member in zip(errors, members, strict=True):
        for rows in slices(len(labels), max(1, _CELLS // labels.num_labels)):
            dense = member.select(rows).to_dense()
            found = np.take_along_axis(dense, asked[rows].astype(np.int64), axis=1)
            place = slice(rows.start * asked.shape[1], rows.stop * asked.shape[1])
            own[place] = (0.5 + 0.5 * np.tanh(found / 2) - true[rows]).ravel()
    unknown = labels.is_unknown(asked)
    if unknown is not None:
        errors = errors[:, ~unknown.ravel()]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.atleast_2d(np.corrcoef(errors))
