"""The study of one member: trials are asked for, watched, and told how they ended."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from common.studies import quiet_optuna
from tune.config import BYTES, TuneConfig
from tune.errors import TuneError
from tune.samplers import NumberedSampler, Scored, make_pruner
from tune.space import Space, label
from tune.storage import WORKER, Heartbeats, StudyStorage

# What a trial has beside its parameters: why it was not trained, or why it failed.
UNTRAINED, FAILURE = "not trained", "failure"
# So many trials after each other that are not trained, or fail, are no accident.
_MOST_UNTRAINED, _MOST_FAILED = 100, 5
# Trials without which nothing can be said of what matters.
_LEAST_EXPLAINED = 4


@dataclass(frozen=True)
class Asked:
    """A trial that is to be trained.

    Attributes:
        number: its own within the study.
        values: by the member's key.
    """

    number: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class StudySetting:
    """What a study is told beside its storage and the settings of the stage.

    Attributes:
        name: the study's; the same name is the same study.
        space: what is tried.
        first: by key, what the member has; the first trial is given that, as far as it can be.
        seed: the run's.
        worker: what this process's part is called among those that share a storage.
    """

    name: str
    space: Space
    first: Mapping[str, Any]
    seed: int
    worker: str


class MemberStudy:
    """A study in a storage; several processes may work on one.

    Args:
        storage: where it is.
        setting: which one it is.
        config: how many trials, what is looked for, and how.
        heartbeats: of this process.
        refusal: given values by key, why they are not to be trained and by how much they miss what
            is allowed (above 0); None where they may be.

    Raises:
        TuneError: the storage does not answer, or a package is missing.
    """

    def __init__(
        self,
        storage: StudyStorage,
        setting: StudySetting,
        config: TuneConfig,
        heartbeats: Heartbeats,
        refusal: Callable[[Mapping[str, Any]], tuple[str, float] | None],
    ) -> None:
        self._storage, self._setting, self._config = storage, setting, config
        self._heartbeats, self._refusal = heartbeats, refusal
        first = {key: label(value) for key, value in setting.first.items()}
        sampler = NumberedSampler(config.sampler_name, setting.seed, first)
        directions = [
            StudyDirection.MINIMIZE if name == BYTES else StudyDirection.MAXIMIZE
            for name in config.objectives
        ]
        self._pruner = make_pruner(config.pruner_name)
        with storage.errors(), quiet_optuna():
            self.optuna = optuna.create_study(
                storage=storage.optuna,
                study_name=setting.name,
                sampler=sampler,
                pruner=optuna.pruners.NopPruner(),
                directions=directions,
                load_if_exists=True,
            )
            if self.optuna.metric_names is None:
                self.optuna.set_metric_names(list(config.objectives))
        self._distributions = {key: tried.distribution() for key, tried in setting.space.items()}
        self._running: dict[int, optuna.Trial] = {}
        self._scored: dict[int, Scored] = {}
        self._untrained = self._failed = 0

    def begun_before(self) -> list[Asked]:
        """The trials that this process began in an earlier life, and goes on with.

        In a storage that is not shared these are all that run.
        """
        with self._storage.errors(), quiet_optuna():
            found = [
                trial
                for trial in self._trials(TrialState.RUNNING)
                if not self._storage.shared or trial.user_attrs.get(WORKER) == self._setting.worker
            ]
            adopted = [self._begin(optuna.Trial(self.optuna, trial._trial_id)) for trial in found]
        return [asked for asked in adopted if asked is not None]

    def ask(self) -> Asked | None:
        """The next trial; None: enough are done or run, as far as is known now.

        Raises:
            TuneError: trial after trial may not be trained, or the storage does not answer.
        """
        with self._storage.errors(), quiet_optuna():
            self._end_abandoned()
            while self._left() > len(self._trials(TrialState.RUNNING)):
                asked = self._begin(self.optuna.ask())
                if asked is not None:
                    return asked
        return None

    def is_complete(self) -> bool:
        """Whether as many trials are done as there are to be."""
        with self._storage.errors():
            return self._left() <= 0

    def report(self, number: int, scored: Scored) -> bool:
        """Takes note of what a trial scored on its way; returns whether it is to be stopped.

        Args:
            number: the trial's.
            scored: what its training scored; one that is at its end is not stopped.
        """
        trial = self._running[number]
        if len(self._config.objectives) > 1:
            return False
        with self._storage.errors(), quiet_optuna(), self._pruning():
            try:
                lags = False
                for share, value in scored.shares_since(self._scored.get(number)):
                    # What was said in an earlier life is not said again.
                    with warnings.catch_warnings(action="ignore"):
                        trial.report(value, share)
                    lags = lags or trial.should_prune()
                self._scored[number] = scored
                return lags and scored.step < scored.steps
            except UpdateFinishedTrialError:
                # Another process took it over.
                return True

    @contextmanager
    def _pruning(self) -> Iterator[None]:
        """Has the study its pruner, without which it asks for trials.

        Of a study with Hyperband a sampler sees the trials of one bracket only, and there are few
        enough.
        """
        self.optuna.pruner, before = self._pruner, self.optuna.pruner
        try:
            yield
        finally:
            self.optuna.pruner = before

    def tell(self, number: int, values: Sequence[float]) -> None:
        """A trial was trained to its end; its values are those of the objectives."""
        self._end(number, TrialState.COMPLETE, list(values))
        self._failed = 0

    def prune(self, number: int) -> None:
        """A trial was stopped since it did not look good."""
        self._end(number, TrialState.PRUNED)

    def refuse(self, number: int, why: str) -> None:
        """A trial's training ended over its hyperparameters, as one that diverged does."""
        with self._storage.errors(), quiet_optuna(), suppress(UpdateFinishedTrialError):
            trial = self._running[number]
            trial.set_user_attr(FAILURE, why)
            trial.set_constraint("trains", 1.0)
        self._end(number, TrialState.PRUNED)

    def fail(self, number: int, why: str) -> bool:
        """A trial's training failed for no fault of its own; another one takes its place.

        Returns:
            Whether it is worth to go on.
        """
        with self._storage.errors(), suppress(UpdateFinishedTrialError):
            self._running[number].set_user_attr(FAILURE, why)
        self._end(number, TrialState.FAIL)
        self._failed += 1
        return self._failed < _MOST_FAILED

    def best(self) -> list[FrozenTrial]:
        """The trials that are kept: the best; of several objectives, spread over the front.

        Of equal ones the earlier is better.
        """
        config = self._config
        with self._storage.errors():
            if len(config.objectives) == 1:
                done = [t for t in self._trials(TrialState.COMPLETE) if t.value is not None]
                return sorted(done, key=lambda t: (-t.values[0], t.number))[: config.keep]
            sign = 1 if config.objectives[0] == BYTES else -1
            front = sorted(self.optuna.best_trials, key=lambda t: (sign * t.values[0], t.number))
        places = np.linspace(0, len(front) - 1, min(config.keep, len(front))).round().astype(int)
        return [front[place] for place in dict.fromkeys(places.tolist())]

    def importances(self) -> dict[str, float]:
        """Which share of the first objective's spread each key explains, the greatest first.

        PED-ANOVA (Watanabe, Bansal & Hutter 2023); empty where there are too few trials.
        """
        with self._storage.errors(), quiet_optuna():
            done = self._trials(TrialState.COMPLETE)
            if len({trial.values[0] for trial in done}) < _LEAST_EXPLAINED:
                return {}
            # It looks at what is low, and warns that it does.
            sign = 1 if self._config.objectives[0] == BYTES else -1
            with warnings.catch_warnings(action="ignore"):
                return optuna.importance.get_param_importances(
                    self.optuna,
                    evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                    target=lambda trial: sign * trial.values[0],
                )

    def trials(self) -> list[FrozenTrial]:
        """All of them, by number."""
        with self._storage.errors():
            return self._trials()

    def values_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """A trial's values by the member's key."""
        return self._values(trial.params)

    def _values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        space = self._setting.space
        return {key: space[key].value(parameters[key]) for key in space if key in parameters}

    def _begin(self, trial: optuna.Trial) -> Asked | None:
        """Has a trial live, and gives it its values; None where these may not be trained."""
        self._heartbeats.begin(trial._trial_id)
        if self._storage.shared:
            trial.set_user_attr(WORKER, self._setting.worker)
        for key, distribution in self._distributions.items():
            trial._suggest(key, distribution)
        self._running[trial.number] = trial
        values = self._values(trial.params)
        refused = self._refusal(values)
        if refused is None:
            self._untrained = 0
            return Asked(trial.number, values)
        why, excess = refused
        trial.set_user_attr(UNTRAINED, why)
        if not trial.constraints:
            trial.set_constraint("allowed", excess)
        self._end(trial.number, TrialState.PRUNED)
        self._untrained += 1
        if self._untrained >= _MOST_UNTRAINED:
            raise TuneError(
                f"tune.space: none of {self._untrained} trials of {self._setting.name} may be "
                f"trained, the last since {why}"
            )
        return None

    def _end(self, number: int, state: TrialState, values: list[float] | None = None) -> None:
        """Tells of a trial; one that another process took over meanwhile is left to that."""
        trial = self._running.pop(number)
        self._scored.pop(number, None)
        with self._storage.errors(), quiet_optuna(), suppress(UpdateFinishedTrialError):
            self.optuna.tell(trial, values, state, skip_if_finished=True)
        self._heartbeats.end(trial._trial_id)

    def _left(self) -> int:
        """How many trials are to be done beside those that are."""
        done = self._trials(TrialState.COMPLETE, TrialState.PRUNED)
        return self._config.trials - sum(UNTRAINED not in trial.user_attrs for trial in done)

    def _end_abandoned(self) -> None:
        """Has the trials of dead processes tried again; of those that had not begun, others."""
        if not self._storage.shared:
            return
        optuna.storages.fail_stale_trials(self.optuna)
        before = datetime.now() - timedelta(seconds=self._storage.silent_seconds)
        for trial in self._trials(TrialState.RUNNING):
            begun = trial.datetime_start
            if WORKER not in trial.user_attrs and begun and begun < before:
                with suppress(UpdateFinishedTrialError):
                    self.optuna.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False, states=states or None)
