"""Of many clips: a race on a sample, and figures of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ensemble.search import SearchResult, search_weights
from quantize.selection import problem as problems
from quantize.selection.curve import curve
from quantize.selection.option import Option
from quantize.selection.problem import Problem
from quantize.selection.solver import Solver
from runs import Predictions
from tests.quantize.selection.exhaustive import brute_force
from tests.quantize.selection.problems import BONUS, key, largest, make_problem
from tests.quantize.selection.test_solver import METHODS, check

CLIPS, SAMPLED = 60, 45


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Problem:
    """Of more clips than the race looks at."""
    monkeypatch.setattr(problems, "SAMPLED", SAMPLED)
    return make_problem(4, seed=8, jump=13)


def test_the_sample_is_of_the_same_options(many: Problem) -> None:
    few = many.sample
    assert few.sample is few and len(few.labels) == SAMPLED
    assert few.bonus == pytest.approx(BONUS * CLIPS / SAMPLED)
    assert few.size is many.size
    truth = {row.tobytes() for row in many.labels.dense()}
    assert {row.tobytes() for row in few.labels.dense()} <= truth
    place_of = {name: place for place, name in enumerate(many.options[0].predictions.ids)}
    for one, other in zip(few.options, many.options, strict=True):
        rows = np.array([place_of[name] for name in one.predictions.ids])
        assert (np.diff(rows) > 0).all()
        assert np.array_equal(one.predictions.log_odds, other.predictions.log_odds[rows])


def test_no_more_clips_than_a_sample_are_all_looked_at() -> None:
    problem = make_problem(2)
    assert problem.sample is problem


def test_weights_of_a_choice_are_searched_once(
    many: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counted(*args: Any, trials: int, **options: Any) -> SearchResult:
        calls.append(trials)
        return search_weights(*args, trials=trials, **options)

    monkeypatch.setattr(problems, "search_weights", counted)
    row = many.flat_row((0, 4))
    for problem in (many, many.weighed(many.file_bytes), make_problem(4, seed=8, jump=13)):
        weights, tried = problem.searched(row, 40, 1)
        assert np.array_equal(weights, many.searched(row, 40, 1)[0]) and tried == 42
    # On the sample and on all, of the problem and of the one that was made anew.
    assert calls == [40, 2] * 2
    assert not np.array_equal(many.searched(row, 40, 2)[0], weights)
    assert calls == [40, 2] * 3


def test_predictions_that_are_read_when_they_are_needed(
    many: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as memory is to hold; what is found is the same."""
    budget = largest(many) // 3
    wanted = Solver(many, trials=60).solve(budget)
    reads: list[str] = []

    def reader(option: Option) -> Callable[[], Predictions]:
        def read() -> Predictions:
            reads.append(f"{option.member} {option.precision}")
            return option.predictions

        return read

    clip = many.options[0].predictions.bytes_of_clip
    monkeypatch.setattr(problems, "KEPT", 5 * CLIPS * clip)
    options = [replace(option, stored=reader(option)) for option in many.options]
    lazy = Problem(options, many.labels, many.file_bytes)
    lazy.bonus = many.bonus
    found = Solver(lazy, trials=60).solve(budget)
    assert key(found) == key(wanted)
    # All for the sample, and then those of the finalists.
    assert set(reads[1:]) == {f"{own.member} {own.precision}" for own in options}
    assert len(options) < len(reads) < 3 * len(options)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_reported_is_of_all_clips(many: Problem, method: str) -> None:
    budget = largest(many) // 3
    solver = Solver(many, method, trials=150)
    baseline, found = solver.baseline(budget), solver.solve(budget)
    assert baseline is not None
    check(many, baseline, budget)
    check(many, found, budget)
    assert found.score >= baseline.score
    assert found.score >= brute_force(many, budget).score - 0.03


def test_a_curve_of_all_clips(many: Problem) -> None:
    found = curve(many, trials=60, points=4)
    for one in found:
        check(many, one, one.size)
    for one, following in pairwise(found):
        assert one.gap < following.gap and one.score < following.score
    budget = largest(many) // 2
    promised = max(one.gap for one in found if one.size <= budget)
    fresh = Solver(many, trials=40, seed=9).solve(budget, found)
    assert fresh.gap >= promised
    again = curve(make_problem(4, seed=8, jump=13), trials=60, points=4)
    assert [key(one) for one in again] == [key(one) for one in found]
