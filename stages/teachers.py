"""Stage `teachers`: every member trained on the labels as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import ConfigError
from records import DataError
from runs import Task
from stages.config import copy_name
from stages.execute import Tasks, named, trained_in_turn
from stages.job import Job
from stages.jobs import Training
from stages.stage import Done, stage
from stages.summaries import Trained, TrainingSummary
from stages.workspace import Workspace
from training.device import choose_device

_FOLDER = "teachers"


@dataclass(frozen=True)
class TrainedTeachers:
    """What stage `teachers` left: the run's folder, and the summaries by member."""

    folder: Path
    summaries: dict[str, TrainingSummary]


def _done(workspace: Workspace) -> Done:
    """Done with this configuration; where the data is gone, with any."""
    members, folder = workspace.config.members, workspace.run.root / _FOLDER
    if not members:
        return Done.below(folder)
    try:
        return Done(len(_done_tasks(workspace)), len(members))
    except (ConfigError, DataError):
        return Done.below(folder, members)


def _done_tasks(workspace: Workspace) -> dict[str, Task]:
    """Those that are done; one that stands on others counts only where these do."""
    tasks, host_of = Tasks(workspace), workspace.config.host_of
    by_fold = [_done_tasks(fold) for fold in workspace.folds]
    if workspace.packs_folds and by_fold:
        return {n: task for n, task in by_fold[0].items() if all(n in own for own in by_fold)}
    done: dict[str, Task] = {}
    for name in sorted(workspace.config.members, key=lambda name: host_of(name) is not None):
        host = host_of(name)
        if (host is None or host in done) and all(name in fold for fold in by_fold):
            job = teacher_job(workspace, name, named(host, done), [fold[name] for fold in by_fold])
            task = workspace.task(job)
            if tasks.is_done(task, job.modules, job.takes):
                done[name] = task
    return done


@stage("teachers", help="train every member on the labels, write its predictions", done=_done)
def teachers(workspace: Workspace) -> TrainedTeachers:
    """Trains what is missing.

    Raises:
        UserError: as in `Workspace.check_members`; nothing is trained then.
        JobsFailed: a training failed; the others have finished.
    """
    choose_device(workspace.config.device)
    workspace.check_members()
    trained = _trained(Tasks(workspace))
    summaries = {name: trained.summary(name) for name in trained.names}
    return TrainedTeachers(workspace.run.root, summaries)


def load_teachers(workspace: Workspace) -> Trained:
    """The finished tasks by member.

    Raises:
        UserError: as in `Workspace.check_members`.
        RunError: one is missing; the message names it and the stage to run.
    """
    workspace.check_members()
    return _trained(Tasks(workspace, "teachers"))


def _trained(tasks: Tasks) -> Trained:
    """Those without a fold first, all folds together; what they show decides about the others."""
    workspace, members = tasks.workspace, tasks.workspace.config.members
    folds, host_of = workspace.folds, workspace.config.host_of

    def host_in_fold(name: tuple[int, str]) -> tuple[int, str] | None:
        of = host_of(name[1])
        return None if of is None else (name[0], of)

    def job_in_fold(name: tuple[int, str], host: tuple[tuple[int, str], Task] | None) -> Job:
        fold, member = name
        return teacher_job(folds[fold], member, (host[0][1], host[1]) if host else None)

    names = [(fold, member) for fold in range(len(folds)) for member in members]
    found = trained_in_turn(tasks, names, host_in_fold, job_in_fold)
    by_fold = [{name: found[fold, name] for name in members} for fold in range(len(folds))]
    if workspace.packs_folds:
        return Trained({}, by_fold)

    def job(name: str, host: tuple[str, Task] | None) -> Job:
        return teacher_job(workspace, name, host, [fold[name] for fold in by_fold])

    return Trained(trained_in_turn(tasks, members, host_of, job), by_fold)


def copied_teacher(workspace: Workspace, teachers: Trained, name: str, copy: int) -> Training:
    """The training of a member once more, with another seed."""
    folds = [fold[name] for fold in teachers.folds]
    return workspace.training(_FOLDER, copy_name(name, copy), name, folds=folds)


def teacher_job(
    workspace: Workspace, name: str, host: tuple[str, Task] | None, folds: Sequence[Task] = ()
) -> Training:
    """The training of a member on the labels.

    Args:
        workspace: the run, or what of it is done without a fold.
        name: the member's.
        host: name and training of the member that it stands on, if it does.
        folds: with folds, the same trainings without each of them.
    """
    return workspace.training(_FOLDER, name, name, host, folds)
