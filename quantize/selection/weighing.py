"""The weights of members and precisions that are settled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble import search_weights
from quantize.selection.problem import Problem, choice_of


@dataclass(frozen=True)
class Weighed:
    """Weights that were found.

    Attributes:
        row: (options,) weights over all options of the problem.
        trials: Weightings that were scored.
    """

    row: np.ndarray
    trials: int


def weigh(problem: Problem, row: np.ndarray, trials: int, seed: int) -> Weighed:
    """Searches for the weights of a choice, at random, from the flat mean and from those given.

    Args:
        problem: Whose options the choice is of.
        row: (options,) weights over all options; those above 0 are the choice.
        trials: Weightings to try; 1 for the flat mean alone.
        seed: Of the search.
    """
    choice = list(choice_of(row))
    scorer = problem.scorer_of(tuple(choice))
    start = row[choice] / row.sum()
    found = search_weights(scorer, trials=trials, seed=seed, start=start, bonus=problem.bonus)
    new = np.zeros_like(row)
    new[choice] = found.weights
    return Weighed(new, found.trials)
