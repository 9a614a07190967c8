"""Which members go into the bundle: the subset under the budget that scores best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ensemble import WeightedScorer, search_weights
from metrics import Labels
from quantize.budget import format_bytes
from quantize.errors import BudgetError
from runs import Predictions

# 2**10 sizes are computed in a few seconds; more candidates are dropped and added greedily.
_EXHAUSTIVE = 10
# Flat means are scored many at once; a whole search is spent on the best of them only.
_FINALISTS = 8

Subset = tuple[int, ...]


@dataclass(frozen=True)
class Candidate:
    """A member that may go into the bundle.

    Attributes:
        name: Its name.
        predictions: On `search`, made with the 8-bit weights that would be packed.
    """

    name: str
    predictions: Predictions


@dataclass(frozen=True)
class Tried:
    """A subset that was searched.

    Attributes:
        names: Its members.
        size: Bytes of its bundle.
        gap: GAP on `search` with the best weights found.
        flat_gap: GAP on `search` of the flat mean.
    """

    names: tuple[str, ...]
    size: int
    gap: float
    flat_gap: float


@dataclass(frozen=True)
class Selection:
    """The subset that was chosen.

    Attributes:
        weights: By member, above 0, summing to 1.
        size: Bytes of its bundle.
        gap: GAP on `search` with these weights.
        flat_gap: GAP on `search` of the flat mean of the subset that was searched.
        exact: Whether `gap` is proven, and not a bound.
        tried: All subsets that were searched, best first.
    """

    weights: dict[str, float]
    size: int
    gap: float
    flat_gap: float
    exact: bool
    tried: tuple[Tried, ...]


def select_members(
    candidates: Sequence[Candidate],
    labels: Labels,
    budget: int,
    size: Callable[[Sequence[str]], int],
    *,
    mix: str = "probability",
    method: str = "random",
    trials: int = 2000,
    seed: int = 0,
) -> Selection:
    """Chooses on `search` the members, and their weights, of the best bundle under `budget`.

    When all candidates fit there is one subset to search. Otherwise, with up to ten candidates,
    every subset that fits and has no room for another is ranked by its flat mean, and weights are
    searched for the best eight. With more candidates the subsets come from dropping members one
    by one, and from adding them one by one. A member whose best weight is 0 is left out.

    Args:
        candidates: Their names are distinct.
        labels: The truth of `search`, in the order of the predictions.
        budget: Bytes that the file may have.
        size: Bytes of the file that holds the members of these names.
        mix: What the weights mix: `probability` or `log_odds`.
        method: The weight search: `random`, `greedy` or `optuna`.
        trials: Weightings to try a subset.
        seed: Of the search.

    Raises:
        BudgetError: There are no candidates, or none fits alone; their sizes are listed.
    """
    problem = _Problem(candidates, labels, budget, size, mix)
    finalists = problem.best(problem.maximal_subsets())
    results = []
    for subset in finalists:
        members = [candidates[index].predictions for index in subset]
        scorer = WeightedScorer(members, labels, mix=mix)
        results.append((subset, search_weights(scorer, method, trials=trials, seed=seed)))
    results.sort(key=lambda pair: (-pair[1].gap, pair[0]))
    tried = tuple(
        Tried(problem.names(subset), problem.bytes(subset), result.gap, result.flat_gap)
        for subset, result in results
    )
    subset, best = results[0]
    used = [(index, float(w)) for index, w in zip(subset, best.weights, strict=True) if w > 0]
    total = sum(weight for _, weight in used)
    return Selection(
        weights={candidates[index].name: weight / total for index, weight in used},
        size=problem.bytes(tuple(index for index, _ in used)),
        gap=best.gap,
        flat_gap=best.flat_gap,
        exact=best.exact,
        tried=tried,
    )


class _Problem:
    """Sizes and flat means of subsets, each computed once."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        labels: Labels,
        budget: int,
        size: Callable[[Sequence[str]], int],
        mix: str,
    ) -> None:
        self._candidates = candidates
        self._labels = labels
        self._budget = budget
        self._size = size
        self._mix = mix
        self._sizes: dict[Subset, int] = {}
        self._gaps: dict[Subset, float] = {}
        self._scorer: WeightedScorer | None = None

    def names(self, subset: Subset) -> tuple[str, ...]:
        return tuple(self._candidates[index].name for index in subset)

    def bytes(self, subset: Subset) -> int:
        if subset not in self._sizes:
            self._sizes[subset] = self._size(self.names(subset))
        return self._sizes[subset]

    def fits(self, subset: Subset) -> bool:
        return self.bytes(subset) <= self._budget

    def usable(self) -> Subset:
        """The members that fit alone."""
        everyone = range(len(self._candidates))
        if not self._candidates:
            raise BudgetError("there are no members to pack")
        usable = tuple(index for index in everyone if self.fits((index,)))
        if not usable:
            sizes = sorted((self.bytes((i,)), self._candidates[i].name) for i in everyone)
            listed = ", ".join(f"{name} {size:,}" for size, name in sizes)
            raise BudgetError(
                f"budget={self._budget} ({format_bytes(self._budget)}): no member fits; bytes of a "
                f"bundle with one member: {listed}; set budget= to at least {sizes[0][0]}"
            )
        return usable

    def maximal_subsets(self) -> list[Subset]:
        """Subsets that fit and have no room for another member, as far as they are looked for.

        Raises:
            BudgetError: There is none.
        """
        everyone = self.usable()
        if self.fits(everyone):
            return [everyone]
        if len(everyone) > _EXHAUSTIVE:
            return sorted({self._dropped(everyone), self._added((), everyone)})
        found: list[Subset] = []
        for count in range(len(everyone) - 1, 0, -1):
            for subset in combinations(everyone, count):
                inside = any(set(subset) <= set(larger) for larger in found)
                if not inside and self.fits(subset):
                    found.append(subset)
        return found

    def _dropped(self, everyone: Subset) -> Subset:
        """Drops the member that costs the least GAP a byte until the rest fits, then refills."""
        subset = everyone
        while not self.fits(subset):
            rests = [_without(subset, index) for index in subset]
            self._score([subset, *rests])
            here, size = self._gaps[subset], self.bytes(subset)
            subset = min(rests, key=lambda r: _price(here - self._gaps[r], size - self.bytes(r)))
        return self._added(subset, everyone)

    def _added(self, subset: Subset, everyone: Subset) -> Subset:
        """Adds the member that leads to the best GAP as long as one fits."""
        while True:
            larger = [_with(subset, index) for index in everyone if index not in subset]
            larger = [candidate for candidate in larger if self.fits(candidate)]
            if not larger:
                return subset
            self._score(larger)
            subset = max(larger, key=lambda candidate: self._gaps[candidate])

    def best(self, subsets: Sequence[Subset]) -> list[Subset]:
        """The finalists: those with the best flat means."""
        if len(subsets) <= _FINALISTS:
            return list(subsets)
        self._score(subsets)
        return sorted(subsets, key=lambda subset: -self._gaps[subset])[:_FINALISTS]

    def _score(self, subsets: Iterable[Subset]) -> None:
        new = [subset for subset in dict.fromkeys(subsets) if subset not in self._gaps]
        if not new:
            return
        if self._scorer is None:
            members = [candidate.predictions for candidate in self._candidates]
            self._scorer = WeightedScorer(members, self._labels, mix=self._mix)
        weights = np.zeros((len(new), len(self._candidates)))
        for row, subset in enumerate(new):
            weights[row, list(subset)] = 1 / len(subset)
        gaps = self._scorer.gap(weights).gap
        self._gaps.update(zip(new, map(float, gaps), strict=True))


def _price(loss: float, freed: int) -> float:
    """GAP lost a byte freed; where dropping helps, the gain, so that the greatest gain leads."""
    return loss / freed if loss > 0 else loss


def _without(subset: Subset, index: int) -> Subset:
    return tuple(item for item in subset if item != index)


def _with(subset: Subset, index: int) -> Subset:
    return tuple(sorted((*subset, index)))
