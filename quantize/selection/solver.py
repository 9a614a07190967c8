"""Members, precisions and weights together, under a hard budget."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np
import optuna

from common.studies import hand_over, quiet_optuna
from ensemble import EnsembleError
from quantize.selection.baseline import Baseline
from quantize.selection.moves import Moves
from quantize.selection.problem import Choice, Problem, Solution, better, choice_of

BATCH = 64  # rows that are scored at a time
DRAWN = 0.3  # share of the random trials that look anywhere
ELITE = 6  # choices that are varied
FINALISTS = 3  # choices whose weights are searched in the end
PRICED = 24  # weightings that greedy tries after each step
SWAPS = 256  # swaps that greedy tries at a time
STUDIED = 150  # trials of a study at most: their cost grows with the square of their number


class Race:
    """Scores rows of weights over all options, counts them, and knows the best that fit.

    Args:
        problem: Whose options.
        budget: Bytes.
        trials: Rows that may be scored.
        flat: Whether every row is made the flat mean of its choice.
    """

    def __init__(self, problem: Problem, budget: int, trials: int, flat: bool) -> None:
        self.problem = problem
        self.budget = budget
        self.limit = trials
        self.flat = flat
        self.trials = 0
        self._leaders: dict[Choice, tuple[float, np.ndarray]] = {}

    @property
    def left(self) -> int:
        """Rows that may still be scored."""
        return self.limit - self.trials

    def score(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """What is maximised (W,), of as many of the rows as are left."""
        if not rows[: self.left]:
            return np.zeros(0)
        block = np.stack(rows[: self.left])
        if self.flat:
            block = (block > 0) / (block > 0).sum(axis=1, keepdims=True)
        scores = self.problem.scores(block)
        self.trials += len(block)
        for row, score in zip(block, scores.tolist(), strict=True):
            choice = choice_of(row)
            if choice not in self._leaders or score > self._leaders[choice][0]:
                self._leaders[choice] = score, row
        return scores

    def fits(self, choice: Choice) -> bool:
        """By its exact bytes and its time, and with every host that it needs."""
        problem = self.problem
        return problem.settled(choice) == choice and problem.fits(choice, self.budget)

    def best(self, count: int) -> list[np.ndarray]:
        """The best weights of the best choices that fit; of equal choices, the smaller first."""
        scores = np.array([score for score, _ in self._leaders.values()])
        rows = np.stack([row for _, row in self._leaders.values()])
        order = np.lexsort((self.problem.estimate(rows), -scores))
        return list(islice((row for row in rows[order] if self.fits(choice_of(row))), count))


class Solver:
    """Solves one problem for one budget after another.

    "random", as the winners searched (Skalic & Austin 2018), extended to precisions and members:
    some trials draw bundles that fit, from few members to many; the others vary the best so far.
    "greedy": from nothing, the change that gains most a byte, then swaps that gain.
    "optuna": a seeded TPE study, in which what does not fit is cut down until it does, and greedy
    steps from the best that it finds. "flat": no search, but the flat mean of the baseline, all
    members at `uniform8` if they fit, with no choice that a small `search` could mislead; where no
    member fits at that precision, greedy over flat means.

    Half of the trials go into this, the other half into the weights of the best choices. Those of
    the baseline are searched as long, and it stays in the race, and so do the best single members
    and all solutions that the caller knows. Of many clips all this is done on a sample; then the
    best choices compete on all clips.

    Args:
        problem: The options and their sizes.
        method: "random", "greedy", "optuna" or "flat".
        trials: Weightings to try for a budget.
        seed: The same seed finds the same solutions.

    Attributes:
        baseline: By a budget, every member at `uniform8` that fits; None where none does.

    Raises:
        EnsembleError: The method is unknown, or trials is less than 1.
    """

    def __init__(
        self, problem: Problem, method: str = "random", *, trials: int = 3000, seed: int = 0
    ) -> None:
        if method not in METHODS:
            raise EnsembleError(f"method = {method!r}, but must be one of {', '.join(METHODS)}")
        if trials < 1:
            raise EnsembleError(f"trials = {trials}, but at least one is needed")
        self.problem = problem
        self.method = method
        self._trials = trials
        self._seed = seed
        self._flat = method == "flat"
        self.baseline = Baseline(problem, 1 if self._flat else trials, seed).under

    def solve(self, budget: int, known: Iterable[Solution] = ()) -> Solution:
        """Finds the best bundle under a budget.

        Args:
            budget: Bytes of the finished file, which it never passes; nor does a clip take longer
                than it may.
            known: Solutions of the same problem, of any size. The result of a search has at least
                the GAP of each that fits.

        Raises:
            BudgetError: No member fits alone, or takes no longer than a clip may.
        """
        problem = self.problem
        problem.check(budget)
        known = list(known)

        def fits(solution: Solution) -> bool:
            return solution.size <= budget and problem.in_time(choice_of(problem.row(solution)))

        baseline = self.baseline(budget)
        if self._flat and baseline is not None:
            return baseline
        held = [solution for solution in known if fits(solution)]
        promised = max((solution.gap for solution in held), default=0.0)
        held += [] if baseline is None else [baseline]
        generator = np.random.default_rng(self._seed)
        moves = Moves(problem, budget, generator)
        race = Race(problem.sample, budget, max(1, self._trials // 2), self._flat)
        too_large = (solution for solution in known if not fits(solution))
        self._start(race, moves, [*held, *too_large])
        METHODS[self.method](race, moves, generator)
        leaders = race.best(FINALISTS)
        trials = 1 if self._flat else max(1, (self._trials - race.limit) // len(leaders))
        found = [problem.searched(row, trials, self._seed) for row in leaders]
        spent = race.trials + sum(tried for _, tried in found)
        rows = [row for row, _ in found]
        if problem.sample is problem:
            # Scored alike, they need not all be measured.
            rows = [rows[place] for place in np.argsort(-problem.scores(np.stack(rows)))]
        measured = (problem.solution(row, spent, self.method) for row in rows)
        fresh = (solution for solution in measured if solution.gap >= promised)
        best = islice(fresh, 1) if problem.sample is problem else fresh
        kept = (solution for solution in held if solution.gap >= promised)
        return max([*best, *kept], key=better)

    def _start(self, race: Race, moves: Moves, known: Sequence[Solution]) -> None:
        """Single members, and what is known, cut to the budget."""
        problem = self.problem
        fitting = problem.fits_alone(race.budget) & problem.independent
        single = [
            problem.flat_row((int(index),))
            for index in np.argsort(problem.alone, kind="stable")
            if fitting[index]
        ]
        # The smallest is sure to be scored: something that fits has to be found.
        race.score([single[0], *(moves.fitted(problem.row(s)) for s in known), *single[1:]])


def _random(race: Race, moves: Moves, generator: np.random.Generator) -> None:
    for _ in range(int(race.left * DRAWN) // BATCH + 1):
        race.score([moves.drawn() for _ in range(min(BATCH, race.left))])
    total = race.left
    while race.left:
        progress = 1 - race.left / total
        elite = race.best(ELITE)
        # The square of an even draw: the best is varied most. In their order, so that rows that
        # have members in common are scored together.
        places = np.sort(len(elite) * generator.random(min(BATCH, race.left)) ** 2).astype(int)
        race.score([moves.varied(elite[place], 0.5 * 0.02**progress) for place in places])


def _greedy(race: Race, moves: Moves, generator: np.random.Generator) -> None:
    _climb(race, np.zeros(len(race.problem.options)), 0.0, generator)


def _climb(race: Race, row: np.ndarray, score: float, generator: np.random.Generator) -> None:
    """Takes the single step that gains most a byte, or a swap, as long as one gains."""
    while race.left:
        found = _best_step(race, row, score, _steps(race.problem, row), by_byte=True)
        found = found or _best_swap(race, row, score, generator)
        if found is None:
            return
        row, score = _reweighed(race, *found, generator)


def _best_swap(
    race: Race, row: np.ndarray, score: float, generator: np.random.Generator
) -> tuple[np.ndarray, float] | None:
    """The best of some double steps, one of which may put a member in the place of another."""
    problem = race.problem
    firsts = [*_steps(problem, row), *_replacements(problem, row)]
    swaps = [*firsts, *(swap for first in firsts for swap in _steps(problem, first))]
    order = generator.permutation(len(swaps)).tolist()
    for start in range(0, len(order), SWAPS):
        if not race.left:
            return None
        some = [swaps[place] for place in order[start : start + SWAPS]]
        found = _best_step(race, row, score, some, by_byte=False)
        if found is not None:
            return found
    return None


def _best_step(
    race: Race, row: np.ndarray, score: float, steps: Sequence[np.ndarray], *, by_byte: bool
) -> tuple[np.ndarray, float] | None:
    """The step that gains most and fits; None where none gains."""
    if not steps:
        return None
    problem, rows = race.problem, np.stack([row, *steps])
    bytes_of = problem.estimate(rows)
    in_time = (rows[1:] > 0) @ problem.times[problem.member_of] <= problem.latency.limit
    fitting = np.flatnonzero((bytes_of[1:] <= race.budget) & in_time)[: race.left].tolist()
    gains = race.score([steps[place] for place in fitting]) - score
    grown = bytes_of[1:][fitting] - bytes_of[0]
    # What gains and frees bytes comes before all that costs bytes.
    price = np.maximum(grown, 1) if by_byte else np.ones(len(fitting))
    for place in np.argsort(-gains / price, kind="stable").tolist():
        step = steps[fitting[place]]
        if gains[place] > 0 and race.fits(choice_of(step)):
            return step, score + float(gains[place])
    return None


def _reweighed(
    race: Race, row: np.ndarray, score: float, generator: np.random.Generator
) -> tuple[np.ndarray, float]:
    """The same choice with better weights, if a short search finds some."""
    count = min(PRICED, race.left)
    if race.flat or not count or (row > 0).sum() == 1:
        return row, score
    rows = row * np.exp(0.3 * generator.standard_normal((count, row.size)))
    rows /= rows.sum(axis=1, keepdims=True)
    scores = race.score(list(rows))
    top = int(scores.argmax())
    return (rows[top], float(scores[top])) if scores[top] > score else (row, score)


def _steps(problem: Problem, row: np.ndarray) -> list[np.ndarray]:
    """Every single change: a member in at an even share, out, or at another precision."""
    steps = []
    inside = {int(problem.member_of[index]): index for index in choice_of(row)}
    for index, member in enumerate(problem.member_of.tolist()):
        now = inside.get(member)
        if now is None:
            share = 1 / (len(inside) + 1)
            new = row * (1 - share)
            new[index] = share
        else:
            new = row.copy()
            new[now] = 0
            if now != index:
                new[index] = row[now]
        new = problem.settled_row(new)
        # Without its host a member that would come in stays out, which is no step.
        if new.any() and choice_of(new) != choice_of(row):
            steps.append(new / new.sum())
    return steps


def _replacements(problem: Problem, row: np.ndarray) -> list[np.ndarray]:
    """Every member that is out, at each precision, in the place of every one that is in."""
    choice = choice_of(row)
    inside = {int(problem.member_of[index]) for index in choice}
    steps = []
    for index, member in enumerate(problem.member_of.tolist()):
        for now in choice if member not in inside else ():
            new = row.copy()
            new[index], new[now] = row[now], 0
            if problem.settled(choice_of(new)) == choice_of(new):
                steps.append(new)
    return steps


def _optuna(race: Race, moves: Moves, generator: np.random.Generator) -> None:
    problem = race.problem
    own = [indices.tolist() for indices in problem.own]

    def objective(trial: optuna.Trial) -> float:
        row = np.zeros(len(problem.options))
        for member, indices in enumerate(own):
            # Places of a list, not names: a member may be called anything.
            place = trial.suggest_categorical(f"option_{member}", [-1, *range(len(indices))])
            # Exponential variables made to sum to 1 are uniform over the simplex.
            weight = -np.log(trial.suggest_float(f"weight_{member}", 1e-6, 1 - 1e-6))
            if place >= 0:
                row[indices[place]] = weight
        if not row.any():
            raise optuna.TrialPruned
        row = moves.fitted(row)
        if not race.fits(choice_of(row)):
            raise optuna.TrialPruned
        return float(race.score([row])[0])

    def told(row: np.ndarray) -> dict[str, float]:
        parameters: dict[str, float] = {}
        for member, indices in enumerate(own):
            weights = row[indices]
            place = int(weights.argmax()) if weights.any() else -1
            parameters[f"option_{member}"] = place
            weight = float(weights.max()) if place >= 0 else 1.0
            parameters[f"weight_{member}"] = float(np.clip(np.exp(-weight), 1e-6, 1 - 1e-6))
        return parameters

    sampler = optuna.samplers.TPESampler(seed=int(generator.integers(2**31)), multivariate=True)
    with quiet_optuna():
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for row in race.best(ELITE):
            study.enqueue_trial(told(row))
        study.optimize(objective, n_trials=min(race.left, STUDIED))
        hand_over(f"bundle of {race.budget} bytes", study)
    (best,) = race.best(1)
    if race.left:
        _climb(race, best, float(race.score([best])[0]), generator)


METHODS: dict[str, Callable[[Race, Moves, np.random.Generator], None]] = {
    "random": _random,
    "greedy": _greedy,
    "optuna": _optuna,
    "flat": _greedy,
}
