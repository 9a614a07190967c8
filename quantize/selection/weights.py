"""The weights of members and precisions that are settled."""

from __future__ import annotations

import numpy as np

from ensemble import search_weights
from quantize.selection.problem import Problem, choice_of


def weights_of_choice(
    problem: Problem, row: np.ndarray, trials: int, seed: int
) -> tuple[np.ndarray, int]:
    """Searches for the weights of a choice, at random, from the flat mean and from those given.

    Args:
        problem: Whose options the choice is of.
        row: (options,) weights over all options; those above 0 are the choice.
        trials: Weightings to try; 1 for the flat mean alone.
        seed: Of the search.

    Returns:
        (options,) weights over all options, and how many weightings were scored.
    """
    choice = list(choice_of(row))
    scorer = problem.scorer_of(tuple(choice))
    start = row[choice] / row.sum()
    found = search_weights(scorer, trials=trials, seed=seed, start=start, bonus=problem.bonus)
    new = np.zeros_like(row)
    new[choice] = found.weights
    return new, found.trials
