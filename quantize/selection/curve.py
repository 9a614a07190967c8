"""The whole curve: what GAP every number of bytes buys."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from quantize.precision import UNIFORM8
from quantize.selection.baseline import Baseline
from quantize.selection.problem import Choice, Problem, Solution
from quantize.selection.solver import Solver
from runs import track

POINTS = 16
NEAR = 1.1  # budgets that are not this many times apart would have about the same solution


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
    precision, for each; of several that are near each other the largest. They are gone through
    upward and then downward, each with half of the trials and with all that is known by then, so
    that each learns from its neighbors. Where there are many clips, this is done on a sample of
    them; the weights of the bundles on that curve are then searched on all clips.

    Args:
        problem: The options and their sizes.
        method: See `Solver`.
        trials: Weightings to try for a budget.
        seed: The same seed finds the same curve.
        points: Budgets, without the natural sizes.

    Returns:
        Bundles with strictly rising bytes, GAP on `search` and score. The first is the smallest
        bundle that there can be.

    Raises:
        BudgetError: A clip takes longer in every member than it may.
    """
    problem.check(int(problem.alone.max()))
    few = problem.sample
    solver = Solver(few, method, trials=max(1, trials // 2), seed=seed)
    found = natural_solutions(few)
    budgets = _budgets(few, points)
    for budget in track([*budgets, *reversed(budgets)], "curve", 2 * len(budgets)):
        found.append(solver.solve(budget, front(found)))
    if few is problem:
        return front(found)
    chosen, confirmed = front(found), []
    for solution in track(chosen, "curve, on all clips", len(chosen)):
        tried = 1 if method == "flat" else trials
        row, more = problem.confirmed(problem.row(solution), tried, seed)
        confirmed.append(problem.solution(row, solution.trials + more, solution.method))
    return front(confirmed)


def uniform8_curve(
    problem: Problem, *, trials: int = 3000, seed: int = 0, points: int = POINTS
) -> tuple[Solution, ...]:
    """The same with uniform 8 bits alone, which is what the curve has to beat.

    The budgets go from the smallest member at this precision to all of them; the arguments are
    those of `curve`. Empty where no member has this precision.
    """
    places = [n for n, option in enumerate(problem.options) if option.precision == UNIFORM8]
    independent = [n for n in places if n in _single(problem)]
    if not independent:
        return ()
    smallest, all_of_them = int(problem.alone[independent].min()), problem.size(tuple(places))
    under = Baseline(problem, max(1, trials // 2), seed).under
    spaced = np.geomspace(smallest, all_of_them, num=points).astype(np.int64)
    budgets = sorted({smallest, *spaced.tolist(), all_of_them})
    found = [under(budget) for budget in track(budgets, "uniform 8 bits", len(budgets))]
    return front(solution for solution in found if solution is not None)


def front(solutions: Iterable[Solution]) -> tuple[Solution, ...]:
    """From small to large, each that has more GAP and a better score than all before it."""
    kept: list[Solution] = []
    for solution in sorted(solutions, key=lambda solution: (solution.size, -solution.score)):
        if not kept or (solution.gap > kept[-1].gap and solution.score > kept[-1].score):
            kept.append(solution)
    return tuple(kept)


def curve_rows(solutions: Sequence[Solution]) -> list[dict[str, Any]]:
    """A curve as a table: `bytes`, `gap`, `score`, `flat_gap`, `members`, `precisions`, `weights`.

    The last three are lists in the same order.
    """
    return [
        {
            "bytes": solution.size,
            "gap": solution.gap,
            "score": solution.score,
            "flat_gap": solution.flat_gap,
            "members": list(solution.choice),
            "precisions": list(solution.choice.values()),
            "weights": [solution.weights[member] for member in solution.choice],
        }
        for solution in solutions
    ]


def natural_solutions(problem: Problem) -> list[Solution]:
    """The smallest bundle, and all members at one precision, for each, with flat weights.

    A member that has no such precision is at its largest. Those that take too long are left out.
    """
    rows = map(problem.flat_row, filter(problem.in_time, _natural_choices(problem)))
    return [problem.solution(row, 1, "natural") for row in rows]


def _natural_choices(problem: Problem) -> list[Choice]:
    """The same, however long they take."""
    # By member, in their order, the option with the most bytes.
    largest = {
        member: max(own.tolist(), key=problem.alone.__getitem__)
        for member, own in enumerate(problem.own)
    }
    single = _single(problem)
    choices: list[Choice] = [(int(single[problem.alone[single].argmin()]),)]
    for precision in dict.fromkeys(option.precision for option in problem.options):
        at = {
            int(problem.member_of[index]): index
            for index, option in enumerate(problem.options)
            if option.precision == precision
        }
        choices.append(tuple((largest | at).values()))
    return list(dict.fromkeys([*choices, tuple(largest.values())]))


def _single(problem: Problem) -> np.ndarray:
    """The options that may be a file's only member, and are in time."""
    in_time = problem.times[problem.member_of] <= problem.latency.limit
    return np.flatnonzero(problem.independent & in_time)


def _budgets(problem: Problem, points: int) -> list[int]:
    whole = [own for own in _natural_choices(problem) if len(own) == len(problem.members)]
    sizes = list(map(problem.size, whole))
    ends = int(problem.alone[_single(problem)].min()), max(sizes)
    spaced = np.geomspace(*ends, num=points).astype(np.int64).clip(*ends)
    budgets = [ends[1]]
    for size in sorted({*spaced.tolist(), *sizes}, reverse=True):
        if size * NEAR <= budgets[-1]:
            budgets.append(size)
    return sorted({*budgets, *ends})
