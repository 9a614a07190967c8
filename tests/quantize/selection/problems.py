"""Small problems: members at a few precisions, and sizes that do not quite add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from quantize.selection.option import Option
from quantize.selection.problem import Problem, Solution
from quantize.selection.solver import Solver
from tests.ensemble.small import make_members, store

# By name, bits of a weight and how far the log-odds are off.
PRECISIONS = {"channel4": (4, 0.7), "uniform8": (8, 0.05), "float32": (32, 0.0)}
LABELS = 30
BONUS = 0.002  # what a nat of entropy is worth; of 60 clips alone it would be all that counts


def make_problem(
    members: int,
    seed: int = 0,
    precisions: Mapping[str, tuple[int, float]] = PRECISIONS,
    jump: int = 0,
    hosts: Mapping[str, str] | None = None,
) -> Problem:
    """Members of 50 to 400 weights that half know the truth.

    The file has a header that grows with the digits of its length, padding to 8 bytes, and, from
    the third member on, `jump` bytes more for each. `hosts` says which members need which others.
    """
    dense, labels = make_members(members, 60, LABELS, seed=seed, noise=1.5)
    generator = np.random.default_rng(seed + 1000)
    counts = {f"m{number}": int(generator.integers(50, 400)) for number in range(members)}
    options = []
    for number, name in enumerate(counts):
        for precision, (_, error) in precisions.items():
            off = generator.normal(0, error, dense[number].shape).astype(np.float32)
            stored = store(dense[number] + off, LABELS)
            options.append(Option(name, precision, stored, (hosts or {}).get(name)))

    def size(choice: Mapping[str, str]) -> int:
        data = sum(counts[name] * precisions[kind][0] // 8 for name, kind in choice.items())
        header = 80 + 9 * len(choice) + 5 * len(str(data)) + jump * max(0, len(choice) - 2)
        return header + -(-data // 8) * 8

    problem = Problem(options, labels, size)
    problem.bonus = BONUS
    return problem


def solve(
    problem: Problem,
    budget: int,
    method: str = "random",
    *,
    trials: int = 3000,
    seed: int = 0,
    known: Iterable[Solution] = (),
) -> Solution:
    """The best bundle under one budget."""
    return Solver(problem, method, trials=trials, seed=seed).solve(budget, known)


def largest(problem: Problem) -> int:
    """Bytes of all members at float32."""
    return problem.size(
        tuple(n for n, option in enumerate(problem.options) if option.precision == "float32")
    )


def key(one: Solution) -> tuple[object, ...]:
    """Everything about a solution that a seed has to settle."""
    return tuple(one.choice.items()), tuple(one.weights.items()), one.size, one.gap, one.score
