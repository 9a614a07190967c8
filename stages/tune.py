"""Stage `tune`: studies of members' hyperparameters, whose best trials become members."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from common.errors import ConfigError
from common.problems import quoted
from stages.execute import Tasks
from stages.stage import stage
from stages.teachers import teacher_job
from stages.tuning.kept import EXPERIMENT_NAME, with_kept, write_experiment
from stages.tuning.members import TunedMember
from stages.tuning.searches import TUNE_FOLDER
from stages.tuning.trials import Trials
from stages.workspace import Workspace
from training.device import choose_device
from tune.space import Space, Tried, family_space, laid_over, member_spaces
from tune.storage import Heartbeats, StudyStorage
from tune.study import FAILURE, UNTRAINED, MemberStudy


@dataclass(frozen=True)
class TrialRecord:
    """A trial of a study.

    Attributes:
        number: its own.
        state: "complete", "pruned", "failed", "running", "waiting", "refused" where its training
            ended over its settings, or "not trained" where they are not allowed.
        values: of the objectives; of a pruned one the last score.
        parameters: what it was given, by the member's key.
        intermediate: scores on the way, by the number of the evaluation.
        seconds: from its begin to its end.
        why: why it failed or was not trained.
    """

    number: int
    state: str
    values: tuple[float, ...]
    parameters: Mapping[str, Any]
    intermediate: Mapping[int, float]
    seconds: float | None
    why: str


@dataclass(frozen=True)
class StudyRecord:
    """A member's study.

    Attributes:
        member: the member's name, of that family.
        family: see there.
        name: the study's, in its storage.
        objectives: what its values are.
        importances: by key, which share of the first objective's spread it explains (PED-ANOVA);
            empty where there are too few trials.
        trials: by number.
        kept: numbers of those that became members, the best first; none where none was trained to
            its end.
    """

    member: str
    family: str
    name: str
    objectives: tuple[str, ...]
    importances: Mapping[str, float]
    trials: tuple[TrialRecord, ...]
    kept: tuple[int, ...]


@dataclass(frozen=True)
class Tuned:
    """What stage `tune` made.

    Attributes:
        folder: of the studies.
        storage: where they are, without a password.
        studies: in the order in which they were made.
        experiment: the file that has what was kept.
        workspace: the run of that.
    """

    folder: Path
    storage: str
    studies: tuple[StudyRecord, ...]
    experiment: Path
    workspace: Workspace


@stage("tune", help="study members' hyperparameters, keep the best trials as members")
def tune(workspace: Workspace) -> Tuned:
    """Makes what is missing of each member's study, and writes `tune/experiment.yaml`.

    A member that stands on another is studied after that, on the best of its trials.

    Raises:
        UserError: a member, a space or a storage is wrong; before the first trial, nothing is
            trained then.
        JobsFailed: the trainings of a study fail one after the other.
    """
    config = workspace.config.tune
    if not config.trials:
        raise ConfigError("tune.trials: 0; say how many a study has, such as tune.trials=40")
    choose_device(workspace.config.device)
    workspace.check_members()
    members = [TunedMember(workspace, *named) for named in _spaces(workspace).items()]
    for member in members:
        member.check()
    folder = workspace.run.root / TUNE_FOLDER
    storage = StudyStorage(folder, config.storage, config.heartbeat_seconds)
    # Looked at before the first study, since they are shared by all.
    _ = workspace.fingerprints
    end = time.monotonic() + 60 * config.minutes if config.minutes else math.inf
    worker = f"{socket.gethostname()}:{workspace.run.root.resolve()}"
    records = []
    try:
        with Heartbeats(storage) as heartbeats:
            for number, member in enumerate(members):
                left = (end - time.monotonic()) / (len(members) - number)
                host = _host(workspace, member)
                # Where the members studied before are replaced by what was kept of them.
                current = TunedMember(workspace, member.name, member.space, host)
                trials = Trials(current, storage, heartbeats, worker, time.monotonic() + left)
                trials.run()
                record, workspace = _keep(current, trials.study)
                records.append(record)
    finally:
        storage.close()
    experiment = folder / EXPERIMENT_NAME
    write_experiment(experiment, workspace.config, _notes(records))
    return Tuned(folder, storage.place, tuple(records), experiment, workspace)


def _spaces(workspace: Workspace) -> dict[str, Space]:
    """The space of each member that has a study, those first that stand on no other."""
    config = workspace.config
    given = member_spaces(config.tune.space)
    names = config.tune.members
    if names is None:
        families = {settings.family: name for name, settings in reversed(config.members.items())}
        names = tuple(name for name in config.members if name in families.values())
    for key, unknown in (
        *(("tune.members", name) for name in names if name not in config.members),
        *(("tune.space", f"members.{name}") for name in given if name not in config.members),
    ):
        raise ConfigError(
            f"{key}: no member {quoted(unknown)}; there are {', '.join(config.members)}"
        )
    spaces: dict[str, Space] = {}
    for name in sorted(names, key=lambda name: config.host_of(name) is not None):
        own: Mapping[str, Tried | None] = given.get(name, {})
        spaces[name] = laid_over(family_space(config.members[name].family), own)
    return spaces


def _host(workspace: Workspace, member: TunedMember) -> Any:
    """Name and training of the member that a member stands on, trained if it is not."""
    of = workspace.config.host_of(member.name)
    if of is None:
        return None
    seen = member.seen(workspace)
    return of, Tasks(seen).of_jobs({of: teacher_job(seen, of, None)})[of]


def _keep(member: TunedMember, study: MemberStudy) -> tuple[StudyRecord, Workspace]:
    """What a study found, and the run with it in the member's place.

    Where no trial was trained to its end, as in too little time, the member stays.
    """
    workspace, best = member.workspace, study.best()
    objectives = workspace.config.tune.objectives
    kept = {member.trial_name(t.number): member.with_values(study.values_of(t)) for t in best}
    record = StudyRecord(
        member=member.name,
        family=member.settings.family,
        name=study.optuna.study_name,
        objectives=objectives,
        importances=study.importances(),
        trials=tuple(_record(trial) for trial in study.trials()),
        kept=tuple(trial.number for trial in best),
    )
    config = with_kept(workspace.config, member.name, kept) if kept else workspace.config
    return record, workspace.of(config)


def _record(trial: FrozenTrial) -> TrialRecord:
    attributes = trial.user_attrs
    state = "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()
    if UNTRAINED in attributes:
        state = UNTRAINED
    elif trial.state == TrialState.PRUNED and FAILURE in attributes:
        state = "refused"
    return TrialRecord(
        number=trial.number,
        state=state,
        values=tuple(trial.values or ()),
        parameters=trial.params,
        intermediate=trial.intermediate_values,
        seconds=trial.duration.total_seconds() if trial.duration else None,
        why=attributes.get(UNTRAINED, attributes.get(FAILURE, "")),
    )


def _notes(records: list[StudyRecord]) -> list[str]:
    """What an experiment says of the studies that it comes from."""
    notes = []
    for record in records:
        by_number = {trial.number: trial for trial in record.trials}
        for number in record.kept:
            scores = zip(record.objectives, by_number[number].values, strict=True)
            said = ", ".join(f"{name} {value:.7g}" for name, value in scores)
            notes.append(f"{record.member}-t{number}: {said} of study {record.name}")
    return notes
