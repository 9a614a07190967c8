"""Stage `teachers`: every member trained on the labels as they are."""

from dataclasses import dataclass
from pathlib import Path

from common.errors import ConfigError
from records import DataError
from runs import Task
from stages.execute import Tasks
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
        jobs = _jobs(workspace).values()
        done = [Tasks(workspace).is_done(workspace.task(job), job.modules) for job in jobs]
    except (ConfigError, DataError):
        return Done.below(folder, members)
    return Done(sum(done), len(done))


@stage("teachers", help="train every member on the labels, write its predictions", done=_done)
def teachers(workspace: Workspace) -> TrainedTeachers:
    """Trains what is missing.

    Raises:
        UserError: as in `Workspace.check_members`; nothing is trained then.
        JobsFailed: a training failed; the others have finished.
    """
    workspace.check_members()
    trained = Tasks(workspace).of_jobs(_jobs(workspace))
    summaries = {name: read_summary(task, TrainingSummary) for name, task in trained.items()}
    return TrainedTeachers(workspace.run.root, summaries)


def load_teachers(workspace: Workspace) -> dict[str, Task]:
    """The finished tasks by member.

    Raises:
        UserError: as in `Workspace.check_members`.
        RunError: one is missing; the message names it and the stage to run.
    """
    workspace.check_members()
    return Tasks(workspace, "teachers").of_jobs(_jobs(workspace))


def _jobs(workspace: Workspace) -> dict[str, Training]:
    members = workspace.config.members
    return {name: workspace.training(f"{_FOLDER}/{name}", name) for name in members}
