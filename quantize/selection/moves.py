"""Random steps between states of the search that fit a budget."""

from collections.abc import Iterable

import numpy as np

from quantize.selection.problem import Problem, choice_of

EVEN = 0.5  # share of draws that are flat means
FILLED = 0.7  # share of draws whose last room is filled
STILL = 0.3  # share of variations that move weights only
SWAPPED = 0.4  # share of the others that take a second step


class Moves:
    """Draws rows of weights over all options, and varies them.

    All rows that it returns fit by the estimate of bytes; whether they do is for the caller to
    measure, and none has a member without its host. At least one option alone fits the budget.
    """

    def __init__(self, problem: Problem, budget: int, generator: np.random.Generator) -> None:
        self._problem = problem
        self._generator = generator
        # What fits alone fits by the estimate too: both are the same number there.
        fitting = problem.fits_alone(budget)
        self._fitting = np.flatnonzero(fitting)
        self._single = np.flatnonzero(fitting & problem.independent)
        self._times = problem.times.tolist()
        self._most_time = problem.latency.limit
        self._cost = problem.alone - problem.shared
        self._room = budget - problem.shared
        self._own = [own[fitting[own]] for own in problem.own]

    def drawn(self) -> np.ndarray:
        """Any row: few members or many, even weights or weights on a few."""
        share = self._generator.random()
        chosen = {
            member: int(self._generator.choice(own))
            for member, own in enumerate(self._own)
            if own.size and self._generator.random() < share
        }
        self._shrink(chosen)
        if self._generator.random() < FILLED:
            self._fill(chosen)
        self._settle(chosen)
        row = self._problem.flat_row(tuple(chosen.values()))
        if self._generator.random() >= EVEN:
            # Concentrations below 1 put the weight on a few; far below, gamma draws underflow.
            row *= self._generator.standard_gamma(
                np.exp(self._generator.uniform(-1.5, 2)), row.size
            )
        return row / row.sum()

    def varied(self, row: np.ndarray, spread: float) -> np.ndarray:
        """A row near this one: a step or two, and every weight scaled at random.

        A step takes a member to another of its states: out, or one of its precisions. So it
        drops, adds, upgrades or downgrades; two steps are a swap.
        """
        chosen = {int(self._problem.member_of[index]): index for index in choice_of(row)}
        weights = {member: row[index] for member, index in chosen.items()}
        if self._generator.random() >= STILL:
            self._step(chosen)
            if self._generator.random() < SWAPPED:
                self._step(chosen)
        self._shrink(chosen)
        if self._generator.random() < FILLED:
            self._fill(chosen)
        self._settle(chosen)
        scale = np.exp(spread * self._generator.standard_normal(len(self._own)))
        new = np.zeros(len(self._cost))
        usual = float(row.sum()) / len(weights)
        for member, index in chosen.items():
            new[index] = weights.get(member, usual) * scale[member]
        return new / new.sum()

    def fitted(self, row: np.ndarray) -> np.ndarray:
        """The row, or where it is too large, the same with cheaper precisions or fewer members.

        Nothing is drawn here: the member with the least weight is taken to the next cheaper
        precision, and out after the last, until all fits; where a clip takes too long, at once out.
        """
        row = row.copy()
        for index in np.setdiff1d(choice_of(row), self._fitting).tolist():
            own = self._own[self._problem.member_of[index]]
            if own.size:
                row[own[self._cost[own].argmax()]] = row[index]
            row[index] = 0
        while self._time(self._problem.member_of[row > 0].tolist()) > self._most_time:
            inside = np.flatnonzero(row)
            row[inside[row[inside].argmin()]] = 0
        while row.any() and self._cost[row > 0].sum() > self._room:
            inside = np.flatnonzero(row)
            index = inside[row[inside].argmin()]
            own = self._own[self._problem.member_of[index]]
            cheaper = own[self._cost[own] < self._cost[index]]
            if cheaper.size:
                row[cheaper[self._cost[cheaper].argmax()]] = row[index]
            row[index] = 0
        row = self._problem.settled_row(row)
        if not row.any():
            row[self._single[self._cost[self._single].argmin()]] = 1
        return row / row.sum()

    def _step(self, chosen: dict[int, int]) -> None:
        member = int(self._generator.integers(len(self._own)))
        now = chosen.pop(member, None)
        states = [int(index) for index in self._own[member] if index != now]
        if now is not None:
            states.append(-1)
        state = states[self._generator.integers(len(states))] if states else -1
        if state >= 0:
            chosen[member] = state

    def _time(self, members: Iterable[int]) -> int:
        """Nanoseconds of a clip in all of them."""
        return sum(self._times[member] for member in members)

    def _shrink(self, chosen: dict[int, int]) -> None:
        """Takes random members out until a clip is in time, to cheaper states until all fit."""
        while self._time(chosen) > self._most_time:
            del chosen[list(chosen)[self._generator.integers(len(chosen))]]
        spent = sum(self._cost[index] for index in chosen.values())
        while spent > self._room:
            member = list(chosen)[self._generator.integers(len(chosen))]
            spent -= self._cost[chosen[member]]
            own = self._own[member]
            cheaper = own[self._cost[own] < self._cost[chosen.pop(member)]]
            place = int(self._generator.integers(len(cheaper) + 1))
            if place < len(cheaper):
                chosen[member] = int(cheaper[place])
                spent += self._cost[chosen[member]]
        if not chosen:
            self._choose_one(chosen)

    def _choose_one(self, chosen: dict[int, int]) -> None:
        index = int(self._generator.choice(self._single))
        chosen[int(self._problem.member_of[index])] = index

    def _settle(self, chosen: dict[int, int]) -> None:
        """Takes out the members whose host is out."""
        for member in [m for m in chosen if self._problem.hosts[m] not in (-1, *chosen)]:
            del chosen[member]
        if not chosen:
            self._choose_one(chosen)

    def _fill(self, chosen: dict[int, int]) -> None:
        """Takes members, in random order, to dearer states as long as there is room."""
        room = self._room - sum(self._cost[index] for index in chosen.values())
        time = self._most_time - self._time(chosen)
        for member in self._generator.permutation(len(self._own)).tolist():
            if self._problem.hosts[member] not in (-1, *chosen):
                continue
            more = 0 if member in chosen else self._times[member]
            if more > time:
                continue
            now = self._cost[chosen[member]] if member in chosen else 0
            own = self._own[member]
            dearer = own[(self._cost[own] > now) & (self._cost[own] <= room + now)]
            if dearer.size:
                chosen[member] = int(self._generator.choice(dearer))
                room -= self._cost[chosen[member]] - now
                time -= more
