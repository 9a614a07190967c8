"""What is said where not even one member fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from common.units import format_bytes
from quantize.errors import BudgetError
from quantize.selection.latency import NANOSECONDS

if TYPE_CHECKING:
    from quantize.selection.problem import Problem


def no_member_fits(problem: Problem, budget: int) -> BudgetError:
    """One line: the least that a bundle with one member takes, of each, and what to set."""
    alone = problem.alone
    least = [
        int(own[alone[own].argmin()])
        for own, host in zip(problem.own, problem.hosts, strict=True)
        if host < 0
    ]
    least.sort(key=lambda index: (alone[index], problem.options[index].member))
    small = [index for index in least if alone[index] <= budget]
    if small:
        return _none_in_time(problem, budget, small)
    listed = ", ".join(
        f"{problem.options[n].member} {alone[n]:,} ({problem.options[n].precision})" for n in least
    )
    return BudgetError(
        f"budget={budget} ({format_bytes(budget)}): no member fits; bytes of the smallest "
        f"bundle with one member: {listed}; set budget= to at least {alone[least[0]]}"
    )


def _none_in_time(problem: Problem, budget: int, small: Sequence[int]) -> BudgetError:
    """Of members (n,) whose bytes would fit."""
    taken = {problem.options[n].member: problem.times[problem.member_of[n]] for n in small}
    named = sorted(taken.items(), key=lambda item: (item[1], item[0]))
    listed = ", ".join(f"{name} {found / NANOSECONDS}" for name, found in named)
    return BudgetError(
        f"limit.milliseconds={problem.latency.milliseconds:g}: no member that fits "
        f"budget={budget} keeps to it; milliseconds of a clip on this machine: {listed}; set "
        f"limit.milliseconds= to at least {named[0][1] / NANOSECONDS}"
    )
