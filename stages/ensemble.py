"""Stage `ensemble`: each family's teacher, and the weights of all members together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.codec import from_plain, to_plain
from common.files import read_json, write_json
from ensemble.choice import Choice, Evidence, choose
from ensemble.combination import MOST_SCORED
from ensemble.evenness import PER_CLIP
from runs import Predictions, RunError, Task
from stages.execute import Made
from stages.jobs import predictions_name
from stages.stage import Done, stage
from stages.teachers import load_teachers
from stages.workspace import Workspace

CHOICE_NAME = "ensemble.json"
_TASK = "ensemble"


@stage(
    "ensemble",
    help="choose each family's teacher, search the weights of all",
    needs=("teachers",),
    done=lambda workspace: Done.below(workspace.run.root, [_TASK]),
)
def ensemble(workspace: Workspace) -> Choice:
    """Chooses among the teachers, which have to be there.

    Raises:
        RunError: a teacher is missing.
    """
    return choose_teachers(workspace, load_teachers(workspace))


def choose_teachers(workspace: Workspace, teachers: Mapping[str, Task]) -> Choice:
    """Chooses on `search`, then scores what was chosen on `report`; trains nothing.

    Args:
        workspace: the run.
        teachers: their finished trainings by member.
    """
    config = workspace.config.ensemble
    families = {name: workspace.config.members[name].family for name in teachers}
    inputs = {
        "method": config.method,
        "trials": config.trials,
        "mix": config.mix,
        "evenness": PER_CLIP,
        "teacher_size": config.teacher_size,
        "combinations": MOST_SCORED,
        "seed": workspace.config.seed,
        "families": families,
        "upstream": {task.name: task.digest() for task in teachers.values()},
    }

    def work(task: Task) -> tuple[list[str], Any]:
        search, report = (_evidence(workspace, teachers, name) for name in ("search", "report"))
        choice = choose(search, report, families, config, workspace.config.seed)
        write_json(task.folder / CHOICE_NAME, to_plain(choice))
        return [CHOICE_NAME], choice.report

    path = Made(workspace).of_work(_TASK, inputs, work).folder / CHOICE_NAME
    return from_plain(Choice, read_json(path), str(path), RunError)


def _evidence(workspace: Workspace, teachers: Mapping[str, Task], split: str) -> Evidence:
    name = predictions_name(split)
    predictions = {
        member: Predictions.load(task.folder / name) for member, task in teachers.items()
    }
    return Evidence(predictions, workspace.labels(split))
