"""Several models of each member: what the mean of them is worth where none has seen the clips.

Models that left out one fold each score any clip apart, and all but one of them have learned from
it. But the clips by which each is chosen within its own part of the set are the same in all: a
clip by which the models of the other folds were chosen, and that its own fold's did not see, was
learned from by none. On these, a twentieth of the set, means of several models can be scored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import WeightedScorer
from metrics import Labels
from metrics.bootstrap import standard_error
from runs import Predictions


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


def _by_id(predictions: Predictions, ids: np.ndarray) -> Predictions:
    order = np.argsort(predictions.ids)
    return predictions.select(order[np.searchsorted(predictions.ids, ids, sorter=order)])
