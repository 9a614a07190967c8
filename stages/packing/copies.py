"""Several models of each member: what the mean of them is worth where none has seen the clips.

Models that left out one fold each score any clip apart, and all but one of them have learned from
it. But the clips by which each is chosen within its own part of the set are the same in all: a
clip by which the models of the other folds were chosen, and that its own fold's did not see, was
learned from by none. On these, a twentieth of the set, means of several models can be scored.

What is trained once more on all clips, with another seed, differs less from the first than models
of two folds do, and no clip is left on which their mean could be scored without looking at
`report`. How much less is seen by how far apart their scores are, for which no label is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from ensemble import WeightedScorer
from metrics import Labels
from metrics.bootstrap import standard_error
from runs import Predictions

# Variances of scores are of at most so many clips, and of so many at a time.
_MOST_CLIPS, _BLOCK_CLIPS = 2000, 128


@dataclass(frozen=True)
class Gain:
    """What the mean of so many models of each member has more GAP than one of each.

    Attributes:
        copies: how many.
        gap: the difference.
        error: its standard error.
    """

    copies: int
    gap: float
    error: float

    def times(self, share: float) -> Gain:
        """The gain of models that have this share of the variance of those that it is of."""
        return Gain(self.copies, share * self.gap, share * self.error)


class UnseenByAll:
    """The clips that no model of any fold has learned from.

    Args:
        held: by member, and by fold, predictions of the fold that the model did not see.
        search: by member, and by fold, predictions of the clips by which it was chosen.
        truths: by fold, the labels of its clips.
        mix: what weights mix: `probability` or `log_odds`.
    """

    def __init__(
        self,
        held: Mapping[str, Sequence[Predictions]],
        search: Mapping[str, Sequence[Predictions]],
        truths: Sequence[Labels],
        mix: str,
    ) -> None:
        self.folds = len(truths)
        self._mix = mix
        first = next(iter(held))
        own_ids = [found.ids for found in held[first]]
        chosen_by = [set(found.ids.tolist()) for found in search[first]]
        # Of each fold, the rows that all other folds' models were chosen by.
        rows = [
            np.flatnonzero([all(name in other for other in others) for name in ids.tolist()])
            for fold, ids in enumerate(own_ids)
            for others in [chosen_by[:fold] + chosen_by[fold + 1 :]]
        ]
        ids = [own[taken] for own, taken in zip(own_ids, rows, strict=True)]
        labels = [truth.select(taken) for truth, taken in zip(truths, rows, strict=True)]
        self.labels = Labels.concatenate(labels)
        self._models = {
            name: [
                Predictions.concatenate(
                    [
                        held[name][fold].select(rows[fold])
                        if fold == model
                        else _by_id(search[name][model], ids[fold])
                        for fold in range(self.folds)
                    ]
                )
                for model in range(self.folds)
            ]
            for name in held
        }

    def gain(self, weights: Mapping[str, float], models: Mapping[str, int], copies: int) -> Gain:
        """What so many models of each member gain, beyond one of each.

        It is averaged over the folds with which a mean begins. More models than there are folds
        are beyond what can be measured: the gain of n grows as the variance of a mean falls, with
        1 - 1 / n.

        Args:
            weights: by member, their sum 1.
            models: by member, how many there may be.
            copies: how many are wanted of each.
        """
        measured = min(copies, self.folds)
        used = [(name, model) for name in weights for model in range(self.folds)]
        scorer = WeightedScorer([self._models[n][m] for n, m in used], self.labels, mix=self._mix)
        several, one = (
            [
                np.array([self._share(weights, models, count, start, *pair) for pair in used])
                for start in range(self.folds)
            ]
            for count in (measured, 1)
        )
        gaps = scorer.gap(np.stack(several + one)).gap
        drawn = [
            np.mean([scorer.resampled_gap(row) for row in rows], axis=0) for rows in (several, one)
        ]
        further = (1 - 1 / copies) / (1 - 1 / measured)
        return Gain(
            copies,
            float(further * (gaps[: self.folds].mean() - gaps[self.folds :].mean())),
            float(further * standard_error(drawn[0] - drawn[1])),
        )

    def _share(
        self,
        weights: Mapping[str, float],
        models: Mapping[str, int],
        copies: int,
        start: int,
        name: str,
        model: int,
    ) -> float:
        """The weight of a fold's model in the mean of so many that begins with fold `start`."""
        count = min(copies, models[name])
        return weights[name] / count if (model - start) % self.folds < count else 0.0


class SeedVariance:
    """How far models that differ by their seeds are apart, against models of different folds.

    By a mean, the squared error falls by the variance of what is averaged (Krogh & Vedelsby 1995),
    and the gains of means are taken to be as these variances are. Models of different seeds err
    apart in each member; those of a fold learned from the same clips and the same soft targets, and
    err together in all members, which a mean of the members does not mend.

    Args:
        by_fold: by member, and by fold, predictions of the same clips; none has learned from them.
        by_seed: by member, those of its trainings with several seeds. Of a member with one alone
            there is nothing to average.
    """

    def __init__(
        self,
        by_fold: Mapping[str, Sequence[Predictions]],
        by_seed: Mapping[str, Sequence[Predictions]],
    ) -> None:
        self._names = [name for name, own in by_seed.items() if len(own) > 1]
        self._of_folds = np.zeros((len(self._names), len(self._names)))
        self._of_seeds = np.zeros(len(self._names))
        if not self._names:
            return
        clips = len(by_fold[self._names[0]][0])
        rows = np.linspace(0, clips - 1, min(clips, _MOST_CLIPS)).astype(int)
        for block in np.array_split(rows, math.ceil(len(rows) / _BLOCK_CLIPS)):
            apart = np.stack([_apart(by_fold[name], block) for name in self._names])
            self._of_folds += apart @ apart.T
            self._of_seeds += [(_apart(by_seed[name], block) ** 2).sum() for name in self._names]

    def share(self, weights: Mapping[str, float]) -> float:
        """The variance of a mix's probabilities by seeds, over that by folds; at most 1.

        Args:
            weights: by member.
        """
        own = np.array([weights.get(name, 0.0) for name in self._names])
        of_folds = own @ self._of_folds @ own
        return min(1.0, float(own**2 @ self._of_seeds / of_folds)) if of_folds > 0 else 0.0


def _apart(models: Sequence[Predictions], rows: np.ndarray) -> np.ndarray:
    """(M * N * V,): how far each model's probabilities are off their mean.

    The sum of the squares is that of the unbiased variances.
    """
    scores = np.stack([expit(model.select(rows).to_dense(), dtype=np.float64) for model in models])
    apart: np.ndarray = (scores - scores.mean(axis=0)) / math.sqrt(len(models) - 1)
    return apart.ravel()


def _by_id(predictions: Predictions, ids: np.ndarray) -> Predictions:
    order = np.argsort(predictions.ids)
    return predictions.select(order[np.searchsorted(predictions.ids, ids, sorter=order)])
