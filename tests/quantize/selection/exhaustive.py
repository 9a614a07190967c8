"""Every choice of members and precisions, for problems that are small enough."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from quantize.selection.problem import Choice, Problem, Solution, better

AT_ONCE = 4096  # rows that are scored at a time


def brute_force(problem: Problem, budget: int, *, trials: int = 1, seed: int = 0) -> Solution:
    """The best of all choices that fit, each member being out or at one of its precisions.

    Eight members at three precisions are 65,535 choices. Their flat means are exact; a search for
    the weights of each is as good as its trials.

    Args:
        problem: The options and their sizes.
        budget: Bytes of the finished file.
        trials: Weightings to try for each choice; 1 for its flat mean alone.
        seed: Of the weightings.

    Raises:
        BudgetError: No member fits alone.
    """
    problem.check(budget)
    if trials > 1:
        fitting = (choice for choice in choices(problem) if problem.size(choice) <= budget)
        rows = map(problem.flat_row, fitting)
        found = (problem.searched(row, trials, seed) for row in rows)
        return max((problem.solution(*weights, "brute force") for weights in found), key=better)
    everything = list(choices(problem))
    scores = np.concatenate(
        [
            problem.scores(np.stack([problem.flat_row(choice) for choice in block]))
            for block in _blocks(everything)
        ]
    )
    for place in np.argsort(-scores, kind="stable").tolist():
        if problem.size(everything[place]) <= budget:
            row = problem.flat_row(everything[place])
            return problem.solution(row, len(everything), "brute force")
    raise AssertionError("a member fits alone")


def choices(problem: Problem) -> Iterator[Choice]:
    """Every choice of at least one option, at most one a member."""
    own = [
        [(), *((int(n),) for n in np.flatnonzero(problem.member_of == member))]
        for member in range(len(problem.members))
    ]
    for parts in product(*own):
        choice = tuple(number for part in parts for number in part)
        if choice and problem.settled(choice) == choice:
            yield choice


def _blocks(everything: list[Choice]) -> Iterator[list[Choice]]:
    for start in range(0, len(everything), AT_ONCE):
        yield everything[start : start + AT_ONCE]
