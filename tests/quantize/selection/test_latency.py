"""The second limit: milliseconds of a clip are kept exactly; without it nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product

import numpy as np
import pytest

from quantize import BudgetError
from quantize.selection.curve import curve, uniform8_curve
from quantize.selection.latency import NANOSECONDS, Latency
from quantize.selection.problem import Problem, Solution
from quantize.selection.solver import Solver
from tests.quantize.selection.problems import key, largest, make_problem, solve
from tests.quantize.selection.test_solver import METHODS, check

CATALOGUES, MEMBERS = 1000, 4
# A study of Optuna takes ten times as long as all else.
FAST = [method for method in METHODS if method != "optuna"]
HOSTS: tuple[dict[str, str], ...] = ({}, {"m0": "m3"}, {"m0": "m2", "m1": "m2"})


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    """What scores weights; bytes and times are drawn for each catalogue."""
    return [make_problem(MEMBERS, seed, hosts=hosts) for seed, hosts in enumerate(HOSTS)]


def taken(choice: Mapping[str, str], latency: Latency) -> int:
    """Nanoseconds, added one by one."""
    total = 0
    for name in choice:
        total += latency.nanoseconds[name]
    return total


def fitting(
    problem: Problem, hosts: Mapping[str, str], budget: int, latency: Latency
) -> list[dict[str, str]]:
    """Every choice that keeps to both limits, by plain loops."""
    options: dict[str, list[str]] = {}
    for option in problem.options:
        options.setdefault(option.member, []).append(option.precision)
    found = []
    for count in range(1, len(options) + 1):
        for names in combinations(options, count):
            if any(hosts.get(name, name) not in names for name in names):
                continue
            for precisions in product(*(options[name] for name in names)):
                choice = dict(zip(names, precisions, strict=True))
                if problem.file_bytes(choice) <= budget and taken(choice, latency) <= latency.limit:
                    found.append(choice)
    return found


def test_a_thousand_catalogues_keep_to_both_limits(problems: list[Problem]) -> None:
    """Against plain loops over all choices; a few of these are scored, and none is better."""
    generator = np.random.default_rng(0)
    refused = 0
    for number in range(CATALOGUES):
        place = number % len(HOSTS)
        nanoseconds = {
            f"m{n}": int(generator.integers(1, 10 * NANOSECONDS)) for n in range(MEMBERS)
        }
        factor = generator.integers(1, 90, MEMBERS)

        def size(choice: Mapping[str, str], factor: np.ndarray = factor) -> int:
            bits = {"channel4": 4, "uniform8": 8, "float32": 32}
            parts = [bits[kind] * int(factor[int(name[1:])]) for name, kind in choice.items()]
            return 100 + sum(parts) + 7 * len(parts) ** 2

        limit = int(sum(nanoseconds.values()) * generator.uniform(0.02, 1.1))
        latency = Latency(limit, nanoseconds)
        problem = problems[place].weighed(size, latency)
        budget = int(largest(problem) * generator.uniform(0.02, 1.1))
        possible = fitting(problem, HOSTS[place], budget, latency)
        solver = Solver(problem, FAST[number % 3], trials=8, seed=number)
        if not possible:
            refused += 1
            with pytest.raises(BudgetError):
                solver.solve(budget)
            continue
        found, baseline = solver.solve(budget), solver.baseline(budget)
        at_8_bits = [own for own in possible if set(own.values()) == {"uniform8"}]
        assert (baseline is None) == (not at_8_bits)
        for solution in (found, *([] if baseline is None else [baseline])):
            assert solution.choice in possible, (number, solution)
            assert solution.size == size(solution.choice) <= budget
        if baseline is not None:
            most = max(map(len, at_8_bits))
            assert solver.method == "flat" or found.score >= baseline.score
            assert len(baseline.choice) == MEMBERS or most < MEMBERS
    assert 20 < refused < CATALOGUES // 2


@pytest.mark.parametrize("method", METHODS)
def test_as_good_as_every_choice_in_time(method: str) -> None:
    problem = make_problem(3, seed=4)
    latency = Latency(5, {"m0": 3, "m1": 3, "m2": 2})
    budget = largest(problem) // 2
    limited = problem.weighed(problem.file_bytes, latency)
    scored = []
    for choice in fitting(limited, {}, budget, latency):
        places = tuple(
            n for n, o in enumerate(problem.options) if choice.get(o.member) == o.precision
        )
        scored.append(limited.solution(limited.flat_row(places), 1, "").score)
    found = solve(limited, budget, method, trials=250)
    check(limited, found, budget)
    assert taken(found.choice, latency) <= 5
    # The flat mean of the baseline has no other precision.
    assert method == "flat" or found.score >= max(scored) - 0.02


def test_curves_keep_to_the_time() -> None:
    problem = make_problem(4, seed=8, jump=13)
    latency = Latency(9, {"m0": 8, "m1": 3, "m2": 5, "m3": 10})
    limited = problem.weighed(problem.file_bytes, latency)
    found = curve(limited, trials=60, points=4)
    assert found and all(taken(own.choice, latency) <= 9 for own in found)
    names = {"m0", "m1", "m2"}
    alone = [n for n, o in enumerate(problem.options) if o.member in names]
    assert found[0].size == problem.alone[alone].min()
    uniform8 = uniform8_curve(limited, trials=2)
    assert uniform8 and all(taken(own.choice, latency) <= 9 for own in uniform8)


@pytest.mark.parametrize("method", METHODS)
def test_a_limit_that_all_keep_to_changes_nothing(method: str) -> None:
    def solved(latency: Latency) -> list[Solution]:
        problem = make_problem(4, seed=6, hosts={"m0": "m3"})
        limited = problem.weighed(problem.file_bytes, latency)
        return [solve(limited, size, method, trials=120) for size in (300, 900)]

    free, wide = solved(Latency()), solved(Latency(40, dict.fromkeys(("m0", "m1", "m2", "m3"), 10)))
    assert list(map(key, free)) == list(map(key, wide))


def test_a_known_solution_that_takes_too_long_is_cut() -> None:
    problem = make_problem(3, seed=1)
    budget = largest(problem)
    whole = solve(problem, budget, trials=60)
    assert len(whole.choice) > 1
    latency = Latency(1, dict.fromkeys(problem.members, 1))
    found = solve(problem.weighed(problem.file_bytes, latency), budget, trials=20, known=[whole])
    assert len(found.choice) == 1


def test_none_in_time_is_one_line() -> None:
    problem = make_problem(3)
    latency = Latency(NANOSECONDS, {"m0": 3_500_000, "m1": 1_250_001, "m2": 2 * NANOSECONDS})
    limited = problem.weighed(problem.file_bytes, latency)
    with pytest.raises(BudgetError) as caught:
        solve(limited, 1000)
    message = str(caught.value)
    assert message.startswith("limit.milliseconds=1: ") and "\n" not in message
    assert "m1 1.250001, m2 2.0, m0 3.5" in message and "at least 1.250001" in message
    with pytest.raises(BudgetError, match=r"limit\.milliseconds"):
        curve(limited, trials=5)
    # Where the bytes are too few for any, it is these that are named.
    with pytest.raises(BudgetError, match="budget=5"):
        solve(limited, 5)
