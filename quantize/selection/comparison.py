"""Mixed precisions against uniform 8 bits, number of bytes by number of bytes, and the noise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from metrics.bootstrap import standard_error
from quantize.selection.problem import Solution

# The GAP of a solution, and of each of the draws (R,) of the clips that it is scored on.
Score = Callable[[Solution], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Point:
    """A number of bytes, the GAP that they buy, and its standard error."""

    bytes: int
    gap: float
    error: float


@dataclass(frozen=True)
class Comparison:
    """Two curves over the same clips.

    Attributes:
        best: of bundles in which every precision may be chosen.
        uniform8: of bundles with uniform 8 bits.
        gains: by bytes at which either curve rises, what the best bundle of so many has more than
            the best with uniform 8 bits; its error is that of the difference over the same draws of
            the clips, and mostly much smaller than those of the two.
    """

    best: tuple[Point, ...]
    uniform8: tuple[Point, ...]
    gains: tuple[Point, ...]


def compare(best: Sequence[Solution], uniform8: Sequence[Solution], score: Score) -> Comparison:
    """Scores two curves, of solutions with rising bytes, on the clips that `score` knows."""
    one, other = (
        [(solution.size, *score(solution)) for solution in own] for own in (best, uniform8)
    )
    gains = []
    for size in sorted({size for size, _, _ in (*one, *other)}):
        fitting = [[found for found in own if found[0] <= size] for own in (one, other)]
        if all(fitting):
            (_, gap, drawn), (_, rival, rival_drawn) = (own[-1] for own in fitting)
            gains.append(Point(size, gap - rival, standard_error(drawn - rival_drawn)))
    return Comparison(_points(one), _points(other), tuple(gains))


def _points(scored: Sequence[tuple[int, float, np.ndarray]]) -> tuple[Point, ...]:
    return tuple(Point(size, gap, standard_error(drawn)) for size, gap, drawn in scored)
