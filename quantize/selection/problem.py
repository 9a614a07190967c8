"""The question that the solver answers, and the form of its answer.

Which members go into the file, each at which precision and with which weight? A state of the
search is one row of weights over all options, at most one option a member: what is above 0 is in
the file. So one scorer over all options scores membership, precision and weights alike.

What is maximised, the score, is GAP on `search` and an entropy bonus: see `ensemble.evenness`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache

import numpy as np

from ensemble import WeightedScorer, search_weights
from ensemble.evenness import entropy_bonus, with_entropy_bonus
from metrics import Labels
from quantize.errors import BudgetError
from quantize.selection.latency import UNLIMITED, Latency
from quantize.selection.option import Option
from quantize.selection.refusals import no_member_fits
from runs import Predictions

SAMPLED = 3000  # clips that memberships and precisions are chosen on, of more than that
CONFIRMED = 16  # weights found on a sample are searched on all clips in this part of the trials
# The same scorers and predictions are asked for again. So many bytes of either are kept: of
# millions of clips one scorer, and few predictions, which are read again from their files; of few
# clips many scorers.
KEPT = 2 * 2**30
SCORERS_KEPT, SMALL_SCORERS = 4, 2**28
SCORER_BYTES = 600  # of a clip and a member, about

# Indices of options, rising, at most one a member.
Choice = tuple[int, ...]


@dataclass(frozen=True)
class Solution:
    """A bundle, chosen.

    Attributes:
        choice: Precision by member, in the order of `Problem.members`.
        weights: By member, in the same order, above 0, summing to 1.
        size: Bytes of the finished file.
        gap: GAP on `search` with these weights.
        score: What was maximised: that, and the entropy bonus of the weights.
        flat_gap: GAP on `search` of the flat mean of the same choice.
        exact: Whether `gap` is proven, and not a bound; see `WeightedScorer`.
        trials: Weightings that were scored to find it.
        method: How it was found.
    """

    choice: dict[str, str]
    weights: dict[str, float]
    size: int
    gap: float
    score: float
    flat_gap: float
    exact: bool
    trials: int
    method: str


class Problem:
    """Maximise GAP over members x precision x weights, the finished file's bytes being limited.

    Args:
        options: Several of a member; the options of members need not be the same.
        labels: The truth of `search`, in the order of the predictions.
        file_bytes: Exact bytes of the finished file by the precisions of its members. What else is
            computed of sizes is an estimate, and nothing is returned that this has not measured.
        mix: What the weights mix: `probability` or `log_odds`.
        latency: What a clip may take; by default whatever it does.

    Attributes:
        own: By member, the rising indices of its options.
        hosts: By member, the member that it needs beside it; -1 for none.
        size: Exact bytes of the file of a choice; each is measured once.
        times: (members,) int64, nanoseconds of a clip in each.

    Raises:
        BudgetError: There are no options, a member has a precision twice, or its host has none.
    """

    def __init__(
        self,
        options: Sequence[Option],
        labels: Labels,
        file_bytes: Callable[[Mapping[str, str]], int],
        mix: str = "probability",
        latency: Latency = UNLIMITED,
    ) -> None:
        if not options:
            raise BudgetError("there are no members to pack")
        names = [(option.member, option.precision) for option in options]
        for member, precision in names:
            if names.count((member, precision)) > 1:
                raise BudgetError(f"{member} at {precision} is offered twice")
        self.members = tuple(dict.fromkeys(member for member, _ in names))
        # Grouped by member: a rising choice is in the order of the members.
        self.options = tuple(sorted(options, key=lambda option: self.members.index(option.member)))
        self.member_of = np.array([self.members.index(option.member) for option in self.options])
        self.own = [np.flatnonzero(self.member_of == n) for n in range(len(self.members))]
        self.hosts = [-1] * len(self.members)
        for option in self.options:
            if option.host in self.members:
                self.hosts[self.members.index(option.member)] = self.members.index(option.host)
            elif option.host is not None:
                raise BudgetError(f"{option.member} needs {option.host}, which is not offered")
        self.labels = labels
        self.mix = mix
        self.bonus = entropy_bonus(len(labels))
        self.file_bytes = file_bytes
        self.size = cache(self._size)
        self.latency, self.times = latency, self._times_in(latency)
        self._read = lru_cache(self._options_kept())(lambda n: self.options[n].predictions)
        self._scorer_of = lru_cache(self._scorers_kept())(self._make_scorer)
        # Neighbors often come to the same choice with the same weights.
        self._search_of = cache(self._searched_anew)

    def weighed(
        self, file_bytes: Callable[[Mapping[str, str]], int], latency: Latency = UNLIMITED
    ) -> Problem:
        """The same question with other bytes of files, and times; what scores weights is shared."""
        other = copy(self)
        other.file_bytes = file_bytes
        other.size = cache(other._size)
        other.latency, other.times = latency, other._times_in(latency)
        for name in ("alone", "shared"):
            other.__dict__.pop(name, None)
        other.sample = other
        if self.sample is not self:
            other.sample = self.sample.weighed(file_bytes, latency)
            other.sample.size = other.size
        return other

    @cached_property
    def sample(self) -> Problem:
        """The same question of fewer clips: `SAMPLED` of them, or all where there are no more.

        Of so many the scores of two choices differ about as they do of all, in bounded time.
        """
        if len(self.labels) <= SAMPLED:
            return self
        generator = np.random.default_rng(0)
        rows = np.sort(generator.choice(len(self.labels), SAMPLED, replace=False))
        labels = self.labels.select(rows)
        if not labels.columns.size:
            return self
        options = [
            replace(option, stored=self._read(n).select(rows))
            for n, option in enumerate(self.options)
        ]
        sample = Problem(options, labels, self.file_bytes, self.mix, self.latency)
        sample.size = self.size
        sample.bonus = self.bonus * len(self.labels) / SAMPLED
        return sample

    @cached_property
    def scorer(self) -> WeightedScorer:
        """Of weights over all options."""
        return self._make_scorer(range(len(self.options)))

    def _make_scorer(self, choice: Sequence[int]) -> WeightedScorer:
        """Of the chosen options alone, in the order of the members."""
        chosen = [self._read(index) for index in choice]
        return WeightedScorer(chosen, self.labels, mix=self.mix)

    def _options_kept(self) -> int:
        """How many predictions."""
        clip = self.options[0].predictions.bytes_of_clip
        return max(1, KEPT // (clip * max(1, len(self.labels))))

    def _scorers_kept(self) -> int:
        each = SCORER_BYTES * max(1, len(self.labels)) * len(self.members)
        return max(1, min(SCORERS_KEPT, KEPT // each), SMALL_SCORERS // each)

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """What is maximised (W,), of rows of weights (W, options)."""
        return with_entropy_bonus(self.scorer.search_gap(rows), rows, self.bonus)

    @cached_property
    def alone(self) -> np.ndarray:
        """(options,) exact bytes of a file with nothing but this option."""
        return np.array([self.size((index,)) for index in range(len(self.options))])

    @cached_property
    def shared(self) -> int:
        """Bytes, about, that a file holds however many members it has."""
        if len(self.members) < 2:
            return 0
        second = int(self.own[1][0])
        return int(self.alone[0]) + int(self.alone[second]) - self.size((0, second))

    def estimate(self, rows: np.ndarray) -> np.ndarray:
        """Bytes, about, of the files of rows (W, options), from the sizes of single members."""
        return self.shared + (rows > 0) @ (self.alone - self.shared)

    def time(self, choice: Choice) -> int:
        """Nanoseconds of a clip in the members of a choice."""
        return int(self.times[self.member_of[list(choice)]].sum())

    def in_time(self, choice: Choice) -> bool:
        """Whether a clip takes no longer there than it may."""
        return self.time(choice) <= self.latency.limit

    def fits(self, choice: Choice, budget: int) -> bool:
        """Whether a choice keeps to the bytes, exactly, and to the time."""
        return self.in_time(choice) and self.size(choice) <= budget

    def fits_alone(self, budget: int) -> np.ndarray:
        """(options,) bool, what a file with nothing but this option does."""
        return (self.alone <= budget) & (self.times[self.member_of] <= self.latency.limit)

    def settled(self, choice: Choice) -> Choice:
        """The choice without the members whose host is not in it."""
        inside = {-1, *(int(self.member_of[index]) for index in choice)}
        return tuple(i for i in choice if self.hosts[self.member_of[i]] in inside)

    def settled_row(self, row: np.ndarray) -> np.ndarray:
        """The same of a row of weights over all options; what is left keeps its weight."""
        settled = np.zeros_like(row)
        left = list(self.settled(choice_of(row)))
        settled[left] = row[left]
        return settled

    @cached_property
    def independent(self) -> np.ndarray:
        """(options,) bool, which may be a file's only member."""
        return np.array(self.hosts)[self.member_of] < 0

    def _times_in(self, latency: Latency) -> np.ndarray:
        return np.array([latency.nanoseconds.get(name, 0) for name in self.members], np.int64)

    def _size(self, choice: Choice) -> int:
        return int(self.file_bytes(self._named(choice)))

    def _named(self, choice: Choice) -> dict[str, str]:
        """Precision by member."""
        chosen = [self.options[index] for index in choice]
        return {option.member: option.precision for option in chosen}

    def flat_row(self, choice: Choice) -> np.ndarray:
        """The flat mean of a choice, as weights over all options."""
        row = np.zeros(len(self.options))
        row[list(choice)] = 1 / len(choice)
        return row

    def searched(self, row: np.ndarray, trials: int, seed: int) -> tuple[np.ndarray, int]:
        """Searches for the weights of a choice, at random, from its flat mean and those given.

        Of many clips it searches on the sample, and then a little on all.

        Args:
            row: (options,) weights over all options; those above 0 are the choice.
            trials: Weightings to try; 1 for the flat mean alone.
            seed: Of the search.

        Returns:
            (options,) weights over all options, and how many weightings were scored.
        """
        return self._search_of(row.tobytes(), trials, seed)

    def _searched_anew(self, row_bytes: bytes, trials: int, seed: int) -> tuple[np.ndarray, int]:
        row = np.frombuffer(row_bytes)
        if self.sample is self:
            return self._searched(self.scorer.of(choice_of(row)), row, trials, seed)
        row, tried = self.sample.searched(row, trials, seed)
        row, more = self.confirmed(row, trials, seed)
        return row, tried + more

    def confirmed(self, row: np.ndarray, trials: int, seed: int) -> tuple[np.ndarray, int]:
        """The same for weights that were searched on the sample, on all clips, with few trials."""
        few = min(trials, max(2, trials // CONFIRMED))
        return self._searched(self._scorer_of(choice_of(row)), row, few, seed)

    def _searched(
        self, scorer: WeightedScorer, row: np.ndarray, trials: int, seed: int
    ) -> tuple[np.ndarray, int]:
        choice = choice_of(row)
        start = row[list(choice)] / row.sum()
        found = search_weights(scorer, trials=trials, seed=seed, start=start, bonus=self.bonus)
        new = np.zeros_like(row)
        new[list(choice)] = found.weights
        if self.settled(choice_of(new)) != choice_of(new):
            # A host has lost its weight, but not what stands on it.
            return row / row.sum(), found.trials
        return new, found.trials

    def row(self, solution: Solution) -> np.ndarray:
        """The weights of a solution over all options."""
        row = np.zeros(len(self.options))
        for index, option in enumerate(self.options):
            if solution.choice.get(option.member) == option.precision:
                row[index] = solution.weights[option.member]
        return row

    def solution(self, row: np.ndarray, trials: int, method: str) -> Solution:
        """Measures a row of weights over all options.

        Its GAP is that of `WeightedScorer([predictions of the choice, in order], labels)`, which
        may differ from that of the scorer over all options by float32 rounding.
        """
        choice = choice_of(row)
        weights = row[list(choice)] / row.sum()
        scorer = self._scorer_of(choice)
        found = scorer.gap(weights[None])
        named = self._named(choice)
        return Solution(
            choice=named,
            weights=dict(zip(named, weights.tolist(), strict=True)),
            size=self.size(choice),
            gap=float(found.gap[0]),
            score=float(with_entropy_bonus(found.gap, weights[None], self.bonus)[0]),
            flat_gap=float(scorer.gap(np.full((1, len(choice)), 1 / len(choice))).gap[0]),
            exact=bool(found.exact[0]),
            trials=trials,
            method=method,
        )

    def resampled_gap(self, solution: Solution) -> np.ndarray:
        """GAP of a solution in each of the draws (R,) of the clips that it was chosen on."""
        row = self.row(solution)
        chosen = choice_of(row)
        return self._scorer_of(chosen).resampled_gap(row[list(chosen)])

    def mixed(self, solution: Solution) -> Predictions:
        """What a solution says of the clips that it was chosen on."""
        row = self.row(solution)
        chosen = choice_of(row)
        return self._scorer_of(chosen).mixed(row[list(chosen)])

    def check(self, budget: int) -> None:
        """Raises BudgetError, with the least of every member, where no member fits."""
        if not self.fits_alone(budget)[self.independent].any():
            raise no_member_fits(self, budget)


def choice_of(row: np.ndarray) -> Choice:
    """The options that have a weight."""
    return tuple(np.flatnonzero(row).tolist())


def better(solution: Solution) -> tuple[float, int]:
    """What to rank solutions by: their score; of equals, the smaller file leads."""
    return solution.score, -solution.size
