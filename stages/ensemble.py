"""Stage `ensemble`: each family's teacher, and the weights of all members together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.codec import from_plain, to_plain
from common.files import read_json, write_json
from ensemble.choice import Choice, Evidence, choose
from ensemble.combination import MOST_SCORED
from ensemble.config import EnsembleConfig
from ensemble.evenness import PER_CLIP
from runs import Predictions, RunError, Task
from stages.jobs import predictions_name
from stages.workspace import Workspace

CHOICE_NAME = "ensemble.json"


def choose_teachers(workspace: Workspace, teachers: Mapping[str, Task]) -> Choice:
    """Chooses on `search`, then scores what was chosen on `report`."""
    config = EnsembleConfig(**vars(workspace.config.ensemble))
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

    path = workspace.once("ensemble", inputs, work).folder / CHOICE_NAME
    return from_plain(Choice, read_json(path), str(path), RunError)


def _evidence(workspace: Workspace, teachers: Mapping[str, Task], split: str) -> Evidence:
    name = predictions_name(split)
    predictions = {
        member: Predictions.load(task.folder / name) for member, task in teachers.items()
    }
    return Evidence(predictions, workspace.labels(split))
