"""Uniform 8 bits for all that fits: what every choice of precisions has to beat."""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import combinations

import numpy as np

from quantize.precision import UNIFORM8
from quantize.selection.problem import Choice, Problem, Solution

# 2**10 subsets are scored in seconds; of more members some are dropped in turn.
_EXHAUSTIVE = 10


class Baseline:
    """The best bundle with every member at `uniform8`, under one budget after another.

    All members go in if they fit, by bytes and by time. Otherwise, with up to ten that fit alone,
    it is the subset with the best flat mean; with more, those that cost the least a byte are
    dropped until the rest fits. What still finds room is added.

    Args:
        problem: Of whose options those at `uniform8` count.
        trials: Weightings to try for a subset; 1 for its flat mean.
        seed: Of the weightings.
    """

    def __init__(self, problem: Problem, trials: int, seed: int) -> None:
        self._problem = problem
        self._trials = trials
        self._seed = seed
        self._scores: dict[Choice, float] = {}
        self._solution = cache(self._solved)

    def under(self, budget: int) -> Solution | None:
        """The solution, or None where no member fits at this precision."""
        fitting = self._problem.fits_alone(budget)
        everyone = self._problem.settled(
            tuple(
                index
                for index, option in enumerate(self._problem.options)
                if option.precision == UNIFORM8 and fitting[index]
            )
        )
        if not everyone:
            return None
        return self._solution(self._chosen(everyone, budget))

    def _solved(self, choice: Choice) -> Solution:
        row = self._problem.flat_row(choice)
        found = self._problem.searched(row, self._trials, self._seed)
        return self._problem.solution(*found, "baseline")

    def _chosen(self, everyone: Choice, budget: int) -> Choice:
        if self._problem.fits(everyone, budget):
            return everyone
        if len(everyone) > _EXHAUSTIVE:
            return self._filled(self._dropped(everyone, budget), everyone, budget)
        subsets = [
            subset
            for count in range(1, len(everyone))
            for subset in combinations(everyone, count)
            if self._problem.settled(subset) == subset and self._problem.fits(subset, budget)
        ]
        return self._filled(self._best(subsets), everyone, budget)

    def _dropped(self, everyone: Choice, budget: int) -> Choice:
        choice, problem = everyone, self._problem

        def price(rest: Choice) -> float:
            """What is lost a byte freed; where dropping helps, the gain: the greatest leads.

            Where the bytes fit, and a clip only takes too long, a nanosecond.
            """
            loss = self._scores[choice] - self._scores[rest]
            cost = problem.size if problem.size(choice) > budget else problem.time
            return loss / max(cost(choice) - cost(rest), 1) if loss > 0 else loss

        while not problem.fits(choice, budget):
            parts = [choice[:place] + choice[place + 1 :] for place in range(len(choice))]
            rests = [rest for rest in map(self._problem.settled, parts) if rest]
            self._score([choice, *rests])
            choice = min(rests, key=price)
        return choice

    def _filled(self, choice: Choice, everyone: Choice, budget: int) -> Choice:
        """Adds the member that leads to the best score as long as one fits."""
        while True:
            larger = [tuple(sorted((*choice, index))) for index in everyone if index not in choice]
            larger = [
                new
                for new in larger
                if self._problem.settled(new) == new and self._problem.fits(new, budget)
            ]
            if not larger:
                return choice
            choice = self._best(larger)

    def _best(self, choices: Sequence[Choice]) -> Choice:
        self._score(choices)
        return max(choices, key=self._scores.__getitem__)

    def _score(self, choices: Iterable[Choice]) -> None:
        """Flat means, each scored once."""
        new = [choice for choice in dict.fromkeys(choices) if choice not in self._scores]
        if new:
            scores = self._problem.sample.scores(np.stack([self._problem.flat_row(c) for c in new]))
            self._scores.update(zip(new, scores.tolist(), strict=True))
