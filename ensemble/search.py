"""Searches for the weights of an ensemble; three ways behind one function."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna

from common.studies import hand_over, quiet_optuna
from ensemble.errors import EnsembleError
from ensemble.evenness import with_entropy_bonus
from ensemble.scorer import WeightedScorer

BATCH = 64  # weightings that are scored at a time
REFINED = 0.5  # share of the trials that look around the best so far
SPARSEST = 0.05  # least concentration of a Dirichlet draw: nearly all weight on one member


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        weights: (M,) float64, not negative, their sum 1.
        trials: How many weightings were scored, the flat mean among them.
    """

    weights: np.ndarray
    trials: int


class _Trials:
    """Keeps count of what was scored and remembers the first of the best."""

    def __init__(self, scorer: WeightedScorer, limit: int, bonus: float) -> None:
        self.scorer = scorer
        self.left = limit
        self.best = np.full(scorer.num_members, 1 / scorer.num_members)
        self._bonus = bonus
        self._best_score = -np.inf
        self.score(self.best[None])

    def score(self, weights: np.ndarray) -> np.ndarray:
        """What is maximised (W,), of weightings (W, M)."""
        scores = with_entropy_bonus(self.scorer.search_gap(weights), weights, self._bonus)
        self.left -= len(weights)
        top = int(scores.argmax())
        if scores[top] > self._best_score:
            self.best, self._best_score = weights[top], float(scores[top])
        return scores


def search_weights(
    scorer: WeightedScorer,
    method: str = "random",
    *,
    trials: int = 1000,
    seed: int = 0,
    start: np.ndarray | None = None,
    bonus: float = 0.0,
) -> SearchResult:
    """Searches for the weights with the best GAP; the flat mean is always the first trial.

    "random": half of the trials are drawn over the whole simplex, from even mixtures to its
    corners, the other half around the best so far, closer and closer (Skalic & Austin 2018
    searched at random). "greedy": members are added one by one, with replacement, each the one
    that helps most (Caruana et al. 2004). "optuna": a seeded TPE study, in memory. "flat": the flat
    mean, which nothing was chosen for and a small `search` cannot mislead.

    Args:
        scorer: The members.
        method: One of these.
        trials: How many weightings may be scored; greedy stops within that number.
        seed: The same seed finds the same weights.
        start: (M,) weights that are known to be good: the second trial.
        bonus: The GAP that a nat of entropy of the weights is worth; see `entropy_bonus`.

    Raises:
        EnsembleError: The method is unknown, or trials is less than 1.
    """
    if method not in METHODS:
        raise EnsembleError(f"method = {method!r}, but must be one of {', '.join(METHODS)}")
    if trials < 1:
        raise EnsembleError(f"trials = {trials}, but at least one is needed")
    state = _Trials(scorer, trials, bonus)
    if scorer.num_members > 1:
        if start is not None and state.left:
            state.score(start[None])
        METHODS[method](state, np.random.default_rng(seed))
    return SearchResult(state.best / state.best.sum(), trials - state.left)


def _random(state: _Trials, generator: np.random.Generator) -> None:
    members = state.scorer.num_members
    refined = int(state.left * REFINED)
    while state.left > refined:
        count = min(state.left - refined, BATCH)
        # One concentration a draw: from corners, where few members count, to even mixtures.
        concentration = np.exp(generator.uniform(np.log(SPARSEST), np.log(members + 1), count))
        state.score(_dirichlet(generator, np.outer(concentration, np.ones(members))))
    while state.left > 0:
        spread = 0.5 * 0.02 ** (1 - state.left / refined)
        state.score(_around(generator, state.best, spread, min(BATCH, state.left)))


def _dirichlet(generator: np.random.Generator, concentration: np.ndarray) -> np.ndarray:
    """Draws weights (W, M), one for each row of concentrations (W, M)."""
    draws = generator.standard_gamma(concentration)
    # Gamma draws of a small concentration underflow: add what the largest never falls below.
    draws[np.arange(len(draws)), draws.argmax(axis=1)] += np.finfo(np.float64).tiny
    return draws / draws.sum(axis=1, keepdims=True)


def _around(
    generator: np.random.Generator, best: np.ndarray, spread: float, count: int
) -> np.ndarray:
    """Draws weights (count, M) near `best`: each scaled at random, some moved, some dropped."""
    shape = (count, best.size)
    scaled = best * np.exp(spread * generator.standard_normal(shape))
    moved = spread / best.size * generator.standard_gamma(0.5, shape)
    weights = scaled + moved * (generator.random(shape) < 0.3)
    dropped = generator.random(shape) < 0.2 * generator.random((count, 1))
    dropped[np.arange(count), weights.argmax(axis=1)] = False
    weights[dropped] = 0
    return weights / weights.sum(axis=1, keepdims=True)


def _greedy(state: _Trials, _: np.random.Generator) -> None:
    members = state.scorer.num_members
    counts = np.zeros(members)
    for _round in range(state.left // members):
        options = counts + np.eye(members)
        gaps = state.score(options / options.sum(axis=1, keepdims=True))
        counts[int(gaps.argmax())] += 1


def _optuna(state: _Trials, generator: np.random.Generator) -> None:
    members = state.scorer.num_members

    def objective(trial: optuna.Trial) -> float:
        # Exponential variables made to sum to 1 are uniform over the simplex.
        draws = [trial.suggest_float(f"weight_{i}", 1e-6, 1.0) for i in range(members)]
        weights = -np.log(np.array(draws))
        if not weights.sum() > 0:
            return -np.inf
        return float(state.score((weights / weights.sum())[None])[0])

    sampler = optuna.samplers.TPESampler(seed=int(generator.integers(2**31)), multivariate=True)
    with quiet_optuna():
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.enqueue_trial({f"weight_{i}": float(np.exp(-1)) for i in range(members)})
        study.optimize(objective, n_trials=state.left)
        hand_over("weights", study)


METHODS: dict[str, Callable[[_Trials, np.random.Generator], None]] = {
    "random": _random,
    "greedy": _greedy,
    "optuna": _optuna,
    # Every search's first trial is the flat mean; here there is no second.
    "flat": lambda state, generator: None,
}
