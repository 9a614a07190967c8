"""Samplers that draw each trial from its number, and pruners."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, TrialState

from tune.config import PrunerName, SamplerName
from tune.errors import TuneError

_MAKERS: dict[SamplerName, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True),
    "random": lambda seed: RandomSampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed, warn_independent_sampling=False),
    "cmaes": lambda seed: CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
}
# What else a sampler needs, and the extra that has it.
_NEEDS = {"cmaes": "cmaes"}
# Pruners compare trainings that have come equally far, in sixths of each one's own length: by
# epochs the short ones were ahead, whose learning rate falls sooner. Before a third of it a score
# says little.
_SHARES, _FIRST_SHARE = 6, 2
# Of a bracket of Hyperband one trial in so many is trained on at a third, and again at two.
_REDUCTION = 2
# Trials that the median is taken of at least.
_MEDIAN_TRIALS = 5


class NumberedSampler(BaseSampler):
    """Draws every trial by a sampler of its own, seeded by the study's name and the trial's number.

    So a study that was killed goes on as it would have, and no two processes that work on one draw
    the same. What a sampler knows of earlier trials is in the storage.

    Args:
        name: of the sampler.
        seed: the run's.
        first: what the first trial is given, by parameter, as far as the space has it.

    Raises:
        TuneError: a package is missing.
    """

    def __init__(self, name: SamplerName, seed: int, first: Mapping[str, Any]) -> None:
        extra = _NEEDS.get(name)
        if extra and find_spec(extra) is None:
            raise TuneError(f"tune.sampler: {name} needs a package: pip install -e '.[{extra}]'")
        self._make = _MAKERS[name]
        self._seed = seed
        self._first = first
        self._current: tuple[int, BaseSampler] = (-1, RandomSampler())

    def _of(self, study: Study, trial: FrozenTrial) -> BaseSampler:
        if self._current[0] != trial.number:
            text = f"{self._seed}/{study.study_name}/{trial.number}"
            digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
            self._current = trial.number, self._make(int.from_bytes(digest, "little"))
        return self._current[1]

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that are drawn together; none of the first trial."""
        if trial.number == 0:
            return {}
        return self._of(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Their values."""
        if trial.number == 0:
            return {}
        return self._of(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value of a parameter by itself."""
        if trial.number == 0 and _holds(param_distribution, self._first.get(param_name)):
            return self._first[param_name]
        sampler = self._of(study, trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Hands on what the sampler wants to know."""
        self._of(study, trial).before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Hands on what the sampler wants to know."""
        self._of(study, trial).after_trial(study, trial, state, values)


def make_pruner(name: PrunerName) -> BasePruner:
    """The pruner of a study, whose steps are those of `Scored.shares_since`."""
    if name == "hyperband":
        return HyperbandPruner(_FIRST_SHARE, _SHARES, _REDUCTION)
    if name == "median":
        return MedianPruner(_MEDIAN_TRIALS, _FIRST_SHARE)
    return NopPruner()


@dataclass(frozen=True)
class Scored:
    """What a training scored after `step` of its `steps`."""

    step: int
    steps: int
    value: float

    def shares_since(self, before: Scored | None) -> Iterator[tuple[int, float]]:
        """The steps of a pruner that were passed since an earlier score, and the scores there.

        Between two evaluations the score is taken to be on a straight line. What was passed before
        the first one is not known.
        """
        last = _SHARES * self.step // self.steps
        start = before or self
        first = _SHARES * start.step // start.steps + 1 if before else max(1, last)
        for share in range(first, last + 1):
            at = share * self.steps / _SHARES
            yield share, float(np.interp(at, [start.step, self.step], [start.value, self.value]))


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a distribution may come to a value."""
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):
        return False
