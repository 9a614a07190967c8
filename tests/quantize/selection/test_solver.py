"""The solver, against every choice there is, and against what no choice may break."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from scipy import stats

from ensemble import EnsembleError, WeightedScorer, search_weights
from quantize import BudgetError
from quantize.selection.curve import natural_solutions
from quantize.selection.option import Option
from quantize.selection.problem import Problem, Solution
from quantize.selection.solver import Solver
from tests.quantize.selection.exhaustive import brute_force, choices
from tests.quantize.selection.problems import PRECISIONS, key, largest, make_problem, solve

SEARCHES = ["random", "greedy", "optuna"]
METHODS = [*SEARCHES, "flat"]
# By how much less than the best flat mean a search may end: single and double steps from one
# start can end beside it; searched weights make up for some of that.
SHORT = {"random": 0.002, "greedy": 0.02, "optuna": 0.02}


def check(problem: Problem, solution: Solution, budget: int) -> None:
    """What holds for every solution."""
    assert solution.size <= budget
    chosen = [o for o in problem.options if solution.choice.get(o.member) == o.precision]
    assert [option.member for option in chosen] == list(solution.choice) == list(solution.weights)
    names = dict(solution.choice)
    assert solution.size == problem.file_bytes(names)
    assert all(weight > 0 for weight in solution.weights.values())
    assert sum(solution.weights.values()) == pytest.approx(1.0, abs=1e-12)
    scorer = WeightedScorer([option.predictions for option in chosen], problem.labels)
    again = scorer.gap(np.array([list(solution.weights.values())]))
    assert again.gap[0] == pytest.approx(solution.gap, abs=1e-12)
    assert again.exact[0] == solution.exact
    worth = problem.bonus * float(stats.entropy(list(solution.weights.values())))
    assert solution.score == pytest.approx(solution.gap + worth, abs=1e-12)
    flat = scorer.gap(np.full((1, len(chosen)), 1 / len(chosen)))
    assert flat.gap[0] == pytest.approx(solution.flat_gap, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("method", SEARCHES)
def test_as_good_as_the_best_flat_mean_of_all(method: str, share: float, seed: int) -> None:
    problem = make_problem(4, seed)
    budget = int(share * largest(problem))
    every = brute_force(problem, budget)
    found = solve(problem, budget, method, trials=250)
    check(problem, found, budget)
    assert found.score >= every.score - SHORT[method]


# The first two members each stand on a later one.
HOSTS = {"m0": "m3", "m1": "m2"}


def has_hosts(solution: Solution) -> bool:
    return all(host in solution.choice for name, host in HOSTS.items() if name in solution.choice)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("method", SEARCHES)
def test_members_that_need_others_too(method: str, share: float, seed: int) -> None:
    problem = make_problem(4, seed, hosts=HOSTS)
    budget = int(share * largest(problem))
    every = brute_force(problem, budget)
    found = solve(problem, budget, method, trials=250)
    check(problem, found, budget)
    assert found.score >= every.score - SHORT[method]


@pytest.mark.parametrize("method", METHODS)
def test_no_member_is_without_its_host_at_any_budget(method: str) -> None:
    problem = make_problem(5, seed=7, hosts=HOSTS)
    for budget in np.geomspace(problem.alone.max() / 8, largest(problem), 8).astype(int).tolist():
        try:
            found = solve(problem, budget, method, trials=80)
        except BudgetError:
            assert (problem.alone[problem.independent] > budget).all()
            continue
        check(problem, found, budget)
        baseline = Solver(problem, trials=80).baseline(budget)
        assert has_hosts(found) and (baseline is None or has_hosts(baseline))
    assert all(map(has_hosts, natural_solutions(problem)))


def test_a_host_has_to_be_offered() -> None:
    with pytest.raises(BudgetError, match="m1 needs m9, which is not offered"):
        make_problem(3, hosts={"m1": "m9"})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("jump", [0, 97])
def test_no_budget_is_passed(method: str, jump: int) -> None:
    problem = make_problem(5, seed=7, jump=jump)
    generator = np.random.default_rng(3)
    for budget in generator.integers(problem.alone.min(), largest(problem), 5).tolist():
        check(problem, solve(problem, budget, method, trials=80), budget)


def test_brute_force_against_plain_loops() -> None:
    problem = make_problem(3, seed=4)
    budget = largest(problem) // 4
    by_member = [[o for o in problem.options if o.member == name] for name in problem.members]
    best = 0.0
    seen = 0
    for chosen in product(*([None, *own] for own in by_member)):
        inside = [option for option in chosen if option is not None]
        if not inside:
            continue
        seen += 1
        if problem.file_bytes({o.member: o.precision for o in inside}) <= budget:
            scorer = WeightedScorer([option.predictions for option in inside], problem.labels)
            flat = float(scorer.gap(search_weights(scorer, "flat").weights[None]).gap[0])
            best = max(best, flat + problem.bonus * np.log(len(inside)))
    assert seen == 4**3 - 1 == len(list(choices(problem)))
    found = brute_force(problem, budget)
    assert found.score == pytest.approx(best, abs=1e-9)
    check(problem, found, budget)
    assert brute_force(problem, budget, trials=12).score >= found.score - 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_never_worse_than_uniform_8_bits(method: str) -> None:
    problem = make_problem(5, seed=2)
    for share in (0.15, 0.3, 0.6):
        budget = int(share * largest(problem))
        solver = Solver(problem, method, trials=60)
        baseline = solver.baseline(budget)
        assert baseline is not None
        assert set(baseline.choice.values()) == {"uniform8"}
        check(problem, baseline, budget)
        assert solver.solve(budget).score >= baseline.score


def test_baseline_holds_all_that_fit() -> None:
    problem = make_problem(4)
    uniform = tuple(n for n, o in enumerate(problem.options) if o.precision == "uniform8")
    size = problem.size(uniform)
    solver = Solver(problem, "flat")
    everyone, fewer = solver.baseline(size), solver.baseline(size - 1)
    assert everyone is not None and len(everyone.choice) == 4
    assert fewer is not None and len(fewer.choice) < 4
    best = max(brute_force(at_8_bits(problem), budget).score for budget in (fewer.size, size - 1))
    assert fewer.score <= best + 1e-9


def test_flat_takes_all_members_that_fit_whatever_they_score() -> None:
    problem = make_problem(4)
    everyone = solve(problem, largest(problem), "flat")
    assert set(everyone.choice) == set(problem.members)
    assert set(everyone.choice.values()) == {"uniform8"}
    assert list(everyone.weights.values()) == pytest.approx([1 / 4] * 4)
    check(problem, everyone, largest(problem))
    smallest = int(problem.alone.min())
    (precision,) = solve(problem, smallest, "flat").choice.values()
    assert precision == "channel4"


def at_8_bits(problem: Problem) -> Problem:
    options = [option for option in problem.options if option.precision == "uniform8"]
    return Problem(options, problem.labels, problem.file_bytes)


def test_many_members_of_the_baseline_are_dropped() -> None:
    problem = at_8_bits(make_problem(12, seed=5))
    uniform = tuple(range(12))
    budget = int(0.6 * problem.size(uniform))
    found = Solver(problem, "flat").baseline(budget)
    assert found is not None
    check(problem, found, budget)
    left_out = set(problem.members) - set(found.choice)
    for name in left_out:
        assert problem.file_bytes({**found.choice, name: "uniform8"}) > budget


@pytest.mark.parametrize("method", SEARCHES)
def test_a_known_solution_is_not_lost(method: str) -> None:
    problem = make_problem(4, seed=6)
    budget = largest(problem) // 3
    known = solve(problem, budget, "random", trials=600, seed=1)
    larger = solve(problem, largest(problem), "random", trials=50)
    found = solve(problem, budget, method, trials=1, known=[larger, known])
    assert found.gap >= known.gap
    check(problem, found, budget)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trials", [1, 2, 3, 50])
def test_few_trials_do(method: str, trials: int) -> None:
    problem = make_problem(3)
    check(problem, solve(problem, 600, method, trials=trials), 600)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_finds_the_same(method: str) -> None:
    one, other = (solve(make_problem(3), 500, method, trials=60, seed=5) for _ in range(2))
    assert key(one) == key(other)


@pytest.mark.parametrize("method", METHODS)
def test_a_member_that_fits_at_4_bits_only(method: str) -> None:
    problem = make_problem(3, seed=1)
    budget = int(problem.alone.min())
    found = solve(problem, budget, method, trials=30)
    assert list(found.choice.values()) == ["channel4"]
    assert list(found.weights.values()) == [1.0]
    check(problem, found, budget)


@pytest.mark.parametrize("method", METHODS)
def test_one_member_too_many_is_dropped(method: str) -> None:
    at_one = {"uniform8": PRECISIONS["uniform8"]}
    problem = make_problem(4, seed=3, precisions=at_one)
    budget = problem.size((0, 1, 2, 3)) - 1
    found = solve(problem, budget, method, trials=60)
    assert 1 <= len(found.choice) < 4
    check(problem, found, budget)


def alike(names: tuple[str, ...]) -> Problem:
    """The same predictions under several names and precisions; only bytes tell them apart."""
    first = make_problem(1).options[0].predictions
    labels = make_problem(1).labels
    bits = {"channel4": 4, "uniform8": 8}
    options = [Option(name, kind, first) for name in names for kind in bits]

    def size(choice: Mapping[str, str]) -> int:
        return 50 + sum(bits[kind] for kind in choice.values())

    return Problem(options, labels, size)


@pytest.mark.parametrize("method", SEARCHES)
def test_of_equals_the_smallest(method: str) -> None:
    problem = alike(("b", "a"))
    problem.bonus = 0.0
    found = solve(problem, 1000, method, trials=60)
    assert found.size == 54
    assert list(found.choice.values()) == ["channel4"]


def test_none_fits() -> None:
    problem = alike(("b", "a"))
    with pytest.raises(BudgetError) as caught:
        solve(problem, 53)
    message = str(caught.value)
    assert "budget=53" in message and "a 54 (channel4), b 54 (channel4)" in message
    assert "at least 54" in message and "\n" not in message
    with pytest.raises(BudgetError, match="no member fits"):
        brute_force(problem, 53)


def test_wrong_input_is_refused() -> None:
    problem = alike(("a",))
    with pytest.raises(EnsembleError, match=r"'grid'.*random, greedy, optuna, flat"):
        solve(problem, 100, "grid")
    with pytest.raises(EnsembleError, match="trials = 0"):
        solve(problem, 100, trials=0)
    with pytest.raises(BudgetError, match="no members"):
        Problem([], problem.labels, problem.file_bytes)
    with pytest.raises(BudgetError, match="a at channel4 is offered twice"):
        Problem([problem.options[0]] * 2, problem.labels, problem.file_bytes)
