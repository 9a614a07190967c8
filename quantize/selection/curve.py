"""The whole curve: what GAP every number of bytes buys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from common.units import format_bytes
from quantize.errors import BudgetError
from quantize.selection.problem import Choice, Problem, Solution, flat_row
from quantize.selection.solver import Solver
from runs import track

POINTS = 16


def curve(
    problem: Problem,
    method: str = "random",
    *,
    trials: int = 3000,
    seed: int = 0,
    points: int = POINTS,
) -> tuple[Solution, ...]:
    """Solves budgets from the smallest bundle to all members at their largest precision.

    The budgets are spaced evenly in their logarithm; to them come the bytes of all members at one
    precision, for each. They are gone through upward and then downward, each with half of the
    trials and with all that is known by then, so that each learns from its neighbors.

    Args:
        problem: The options and their sizes.
        method: See `Solver`.
        trials: Weightings to try for a budget.
        seed: The same seed finds the same curve.
        points: Budgets, without the natural sizes.

    Returns:
        Bundles with strictly rising bytes, GAP on `search` and score. The first is the smallest
        bundle that there can be.
    """
    solver = Solver(problem, method, trials=max(1, trials // 2), seed=seed)
    found = natural_solutions(problem)
    budgets = _budgets(problem, found, points)
    for budget in track([*budgets, *reversed(budgets)], "curve", 2 * len(budgets)):
        found.append(solver.solve(budget, front(found)))
    return front(found)


def front(solutions: Iterable[Solution]) -> tuple[Solution, ...]:
    """From small to large, each that has more GAP and a better score than all before it."""
    kept: list[Solution] = []
    for one in sorted(solutions, key=lambda one: (one.size, -one.score)):
        if not kept or (one.gap > kept[-1].gap and one.score > kept[-1].score):
            kept.append(one)
    return tuple(kept)


def best_under(solutions: Sequence[Solution], budget: int) -> Solution:
    """The best of a curve's bundles that fits.

    Raises:
        BudgetError: None does.
    """
    fitting = [one for one in front(solutions) if one.size <= budget]
    if not fitting:
        smallest = min(one.size for one in solutions)
        raise BudgetError(
            f"budget={budget} ({format_bytes(budget)}): the smallest bundle of the curve has "
            f"{smallest:,} bytes; set budget= to at least {smallest}"
        )
    return fitting[-1]


def curve_rows(solutions: Sequence[Solution]) -> list[dict[str, Any]]:
    """A curve as a table: `bytes`, `gap`, `score`, `flat_gap`, `members`, `precisions`, `weights`.

    The last three are lists in the same order.
    """
    return [
        {
            "bytes": one.size,
            "gap": one.gap,
            "score": one.score,
            "flat_gap": one.flat_gap,
            "members": list(one.choice),
            "precisions": list(one.choice.values()),
            "weights": [one.weights[member] for member in one.choice],
        }
        for one in solutions
    ]


def natural_solutions(problem: Problem) -> list[Solution]:
    """The smallest bundle, and all members at one precision, for each, with flat weights.

    A member that has no such precision is at its largest.
    """
    largest = _largest(problem)
    choices: list[Choice] = [(int(problem.alone.argmin()),)]
    for precision in dict.fromkeys(option.precision for option in problem.options):
        at = {
            int(problem.member_of[number]): number
            for number, option in enumerate(problem.options)
            if option.precision == precision
        }
        choices.append(tuple((largest | at).values()))
    choices.append(tuple(largest.values()))
    rows = (flat_row(choice, len(problem.options)) for choice in dict.fromkeys(choices))
    return [problem.solution(row, 1, "natural") for row in rows]


def _largest(problem: Problem) -> dict[int, int]:
    """By member, in their order, the option with the most bytes."""
    return {
        member: max(
            np.flatnonzero(problem.member_of == member).tolist(),
            key=lambda number: int(problem.alone[number]),
        )
        for member in range(len(problem.members))
    }


def _budgets(problem: Problem, natural: Sequence[Solution], points: int) -> list[int]:
    sizes = [one.size for one in natural if len(one.choice) == len(problem.members)]
    ends = int(problem.alone.min()), max(sizes)
    spaced = np.geomspace(*ends, num=points).astype(np.int64).clip(*ends)
    return sorted({*spaced.tolist(), *sizes, *ends})
