"""Stage `ensemble`: each family's teacher, and the weights of all members together."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from common.codec import from_plain, to_plain
from common.files import read_json, write_json
from ensemble.choice import Choice, Evidence, Scores, choose
from ensemble.combination import MOST_SCORED, Combination
from ensemble.evenness import PER_CLIP
from metrics.bootstrap import MOST_DRAWS
from runs import RunError, Task
from stages.execute import Tasks
from stages.stage import Done, stage
from stages.summaries import Trained
from stages.teachers import load_teachers
from stages.tuning.searches import searches_kept
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


def choose_teachers(workspace: Workspace, teachers: Trained) -> Choice:
    """Chooses among finished teachers on `search`, then scores what was chosen on other clips.

    These are `report`, and where a fold is left out, that one.
    """
    config = workspace.config.ensemble
    families = {name: workspace.config.members[name].family for name in teachers.names}
    inputs = {
        **search_inputs(workspace, [*teachers.chosen_by(), *teachers.tasks.values()]),
        "teacher_size": config.teacher_size,
        "combinations": MOST_SCORED,
        "draws": MOST_DRAWS,
        "families": families,
        # A choice that an earlier version wrote without some of them is made anew.
        "said": [field.name for kind in (Combination, Scores) for field in fields(kind)],
    }

    def evidence(split: str) -> Evidence:
        predictions = {name: teachers.predictions(name, split) for name in teachers.names}
        return Evidence(predictions, workspace.labels(split))

    def work(task: Task) -> tuple[list[str], Any]:
        seed = workspace.config.seed
        others = evidence(workspace.predicted[-1])
        with searches_kept(workspace, task):
            choice = choose(evidence("search"), others, families, config, seed)
        write_json(task.folder / CHOICE_NAME, to_plain(choice))
        return [CHOICE_NAME], choice.report

    name = workspace.task_name(_TASK)
    path = Tasks(workspace).of_work(name, inputs, work).file(CHOICE_NAME)
    return from_plain(Choice, read_json(path), str(path), RunError)


def search_inputs(workspace: Workspace, tasks: Iterable[Task]) -> dict[str, Any]:
    """What a search of weights depends on, for its content key.

    Args:
        workspace: the run.
        tasks: those whose predictions are weighed.
    """
    config = workspace.config.ensemble
    return {
        "method": config.method,
        "trials": config.trials,
        "mix": config.mix,
        "evenness": PER_CLIP,
        "seed": workspace.config.seed,
        "upstream": {task.name: task.digest() for task in tasks},
    }
