"""Stage `ensemble`: each family's teacher, and the weights of all members together."""

from dataclasses import dataclass, fields
from typing import Any

from common.codec import from_plain, to_plain
from common.files import read_json, write_json
from ensemble.blend import Blend
from ensemble.choice import Choice, Evidence, Scores, choose
from ensemble.combination import MOST_SCORED, Combination
from metrics.bootstrap import MOST_DRAWS
from runs import RunError, Task
from stages.execute import Tasks
from stages.external.blends import blend_teachers
from stages.stage import Done, stage
from stages.summaries import Trained
from stages.teachers import load_teachers
from stages.tuning.searches import search_inputs, searches_kept
from stages.workspace import Workspace

CHOICE_NAME = "ensemble.json"
_TASK = "ensemble"


@dataclass(frozen=True)
class BlendedChoice:
    """What was chosen among the teachers, and their weights beside external models.

    Only teachers teach: of external models it is not known what they say of the clips of `train`.
    """

    choice: Choice
    blend: Blend


@stage(
    "ensemble",
    help="choose each family's teacher, search the weights of all",
    needs=("teachers",),
    done=lambda workspace: Done.below(workspace.run.root, [_TASK]),
)
def ensemble(workspace: Workspace) -> Choice | BlendedChoice:
    """Chooses among the teachers, which have to be there.

    Raises:
        RunError: a teacher is missing.
        ConfigError: the predictions of an external model are not as they ought to be.
    """
    teachers = load_teachers(workspace)
    choice = choose_teachers(workspace, teachers)
    if not workspace.config.external:
        return choice
    return BlendedChoice(choice, blend_teachers(workspace, teachers))


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
