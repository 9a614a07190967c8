"""The curve: rising, within its sizes, and as good as single solutions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from quantize.selection.curve import curve, curve_rows, front, natural_solutions
from quantize.selection.problem import Problem, Solution
from quantize.selection.solver import Solver
from tests.quantize.selection.problems import key, largest, make_problem, solve
from tests.quantize.selection.test_solver import check


@pytest.fixture(scope="module")
def problem() -> Problem:
    return make_problem(4, seed=8, jump=13)


@pytest.fixture(scope="module")
def found(problem: Problem) -> tuple[Solution, ...]:
    return curve(problem, trials=120, points=6)


def best_under(solutions: Sequence[Solution], budget: int) -> Solution:
    return max((s for s in solutions if s.size <= budget), key=lambda solution: solution.size)


def test_bytes_gap_and_score_rise(problem: Problem, found: tuple[Solution, ...]) -> None:
    assert len(found) >= 4
    for one, following in pairwise(found):
        assert one.size < following.size
        assert one.gap < following.gap and one.score < following.score
    for one in found:
        check(problem, one, one.size)
    assert found[0].size == problem.alone.min()
    assert found[-1].size <= largest(problem)


def test_natural_bundles_are_not_better(problem: Problem, found: tuple[Solution, ...]) -> None:
    natural = natural_solutions(problem)
    assert any(set(one.choice.values()) == {"float32"} and len(one.choice) == 4 for one in natural)
    solver = Solver(problem, trials=60)
    for one in natural:
        best = best_under(found, one.size)
        for rival in (one, solver.baseline(one.size)):
            if rival is not None:
                assert best.gap >= rival.gap or best.score >= rival.score


def test_solving_again_keeps_what_the_curve_promised(
    problem: Problem, found: tuple[Solution, ...]
) -> None:
    budget = largest(problem) // 2
    for _ in range(3):
        promised = best_under(found, budget)
        fresh = solve(problem, budget, trials=40, seed=9, known=found)
        assert fresh.gap >= promised.gap and fresh.size <= budget
        assert best_under(front([*found, fresh]), budget).gap == fresh.gap
        budget //= 2


def test_the_same_seed_draws_the_same_curve() -> None:
    one, other = (curve(make_problem(2), trials=20, points=3) for _ in range(2))
    assert [key(solution) for solution in one] == [key(solution) for solution in other]


def test_one_option_is_a_curve() -> None:
    first = make_problem(1)
    problem = Problem(first.options[:1], first.labels, first.file_bytes)
    (only,) = curve(problem, trials=5)
    assert only.weights == {"m0": 1.0}
    assert curve_rows([only]) == [
        {
            "bytes": only.size,
            "gap": only.gap,
            "score": only.gap,
            "flat_gap": only.gap,
            "members": ["m0"],
            "precisions": ["channel4"],
            "weights": [1.0],
        }
    ]
