"""Mixed precisions against uniform 8 bits: points, gains, and what their errors are of."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from quantize.precision import UNIFORM8
from quantize.selection.comparison import Comparison, compare
from quantize.selection.curve import curve, uniform8_curve
from quantize.selection.problem import Problem, Solution
from tests.quantize.selection.problems import make_problem


@pytest.fixture(scope="module")
def problem() -> Problem:
    return make_problem(4, seed=8, jump=13)


@pytest.fixture(scope="module")
def uniform8(problem: Problem) -> tuple[Solution, ...]:
    return uniform8_curve(problem, trials=2, points=200)


def test_uniform_curve_has_the_best_flat_means_there_are(
    problem: Problem, uniform8: tuple[Solution, ...]
) -> None:
    """By all subsets of the members at 8 bits: with one trial, weights are even."""
    options = [n for n, option in enumerate(problem.options) if option.precision == UNIFORM8]
    subsets = [own for count in range(1, 5) for own in combinations(options, count)]
    every = [problem.solution(problem.flat_row(own), 1, "") for own in subsets]
    for one, following in pairwise(uniform8):
        assert one.size < following.size and one.gap < following.gap
    for solution in uniform8:
        assert set(solution.choice.values()) == {UNIFORM8}
        fitting = [own.score for own in every if own.size <= solution.size]
        whole = len(solution.choice) == len(options)
        assert solution.score == pytest.approx(max(fitting)) or whole
    assert uniform8[0].size == min(own.size for own in every)


def test_nothing_at_8_bits_is_no_curve() -> None:
    assert uniform8_curve(make_problem(2, precisions={"float32": (32, 0.0)})) == ()


def test_gains_are_of_what_fits_and_their_errors_of_the_same_draws(
    problem: Problem, uniform8: tuple[Solution, ...]
) -> None:
    best = curve(problem, trials=60, points=4)
    found = compare(best, uniform8, lambda own: (own.gap, problem.resampled_gap(own)))
    assert [own.bytes for own in found.best] == [own.size for own in best]
    assert found.uniform8[0].error == pytest.approx(
        np.std(problem.resampled_gap(uniform8[0]), ddof=1)
    )
    sizes = sorted({own.size for own in (*best, *uniform8)})
    assert [own.bytes for own in found.gains] == [s for s in sizes if s >= uniform8[0].size]
    for gain in found.gains:
        one, other = (
            [own for own in curve if own.size <= gain.bytes][-1] for curve in (best, uniform8)
        )
        assert gain.gap == pytest.approx(one.gap - other.gap)
        apart = problem.resampled_gap(one) - problem.resampled_gap(other)
        assert gain.error == pytest.approx(np.std(apart, ddof=1))
    alone = compare(best, (), lambda own: (own.gap, problem.resampled_gap(own)))
    assert alone == Comparison(found.best, (), ())
