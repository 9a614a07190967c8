"""Stage `teachers`: every member trained on the labels as they are."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.errors import ConfigError
from records import DataError
from runs import Task
from stages.execute import Tasks, named, trained_in_turn
from stages.jobs import Training
from stages.stage import Done, stage
from stages.summaries import TrainingSummary, read_summary
from stages.workspace import Workspace

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
    """Those that are done; one that stands on another counts only where that one does."""
    tasks, host_of = Tasks(workspace), workspace.config.host_of
    done: dict[str, Task] = {}
    for name in sorted(workspace.config.members, key=lambda name: host_of(name) is not None):
        host = host_of(name)
        if host is None or host in done:
            job = _job(workspace, name, named(host, done))
            task = workspace.task(job)
            if tasks.is_done(task, job.modules):
                done[name] = task
    return done


@stage("teachers", help="train every member on the labels, write its predictions", done=_done)
def teachers(workspace: Workspace) -> TrainedTeachers:
    """Trains what is missing.

    Raises:
        UserError: as in `Workspace.check_members`; nothing is trained then.
        JobsFailed: a training failed; the others have finished.
    """
    workspace.check_members()
    trained = _trained(Tasks(workspace))
    summaries = {name: read_summary(task, TrainingSummary) for name, task in trained.items()}
    return TrainedTeachers(workspace.run.root, summaries)


def load_teachers(workspace: Workspace) -> dict[str, Task]:
    """The finished tasks by member.

    Raises:
        UserError: as in `Workspace.check_members`.
        RunError: one is missing; the message names it and the stage to run.
    """
    workspace.check_members()
    return _trained(Tasks(workspace, "teachers"))


def _trained(tasks: Tasks) -> dict[str, Task]:
    config = tasks.workspace.config
    job = partial(_job, tasks.workspace)
    return trained_in_turn(tasks, config.members, config.host_of, job)


def _job(workspace: Workspace, name: str, host: tuple[str, Task] | None) -> Training:
    return workspace.training(f"{_FOLDER}/{name}", name, host)
