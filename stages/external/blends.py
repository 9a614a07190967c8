"""Blends with external models: their weights, and those of the teachers beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import cached_property
from typing import Any

from common.codec import from_plain, to_plain
from common.files import read_json, write_json
from ensemble.blend import Blend, Blended, Score, blend
from ensemble.choice import Evidence
from metrics import Labels
from metrics.bootstrap import MOST_DRAWS
from records import Schema
from runs import Predictions, RunError, Task
from stages.execute import Tasks
from stages.external.predictions import ClipSet, external_task
from stages.jobs import predictions_name
from stages.summaries import Trained
from stages.tuning.searches import search_inputs, searches_kept
from stages.workspace import Workspace

BLEND_NAME = "blend.json"
WEIGHED_ON = ("search", "report")


def blend_teachers(workspace: Workspace, teachers: Trained) -> Blend:
    """The weights of teachers and external models together: the task `blend/teachers`.

    Raises:
        ConfigError: the predictions of an external model are not as they ought to be.
    """
    others = ExternalModels(workspace, workspace.schema)
    tasks = [*teachers.chosen_by(), *teachers.tasks.values(), *others.tasks()]

    def evidence(split: str) -> Evidence:
        own = {name: teachers.predictions(name, split) for name in teachers.names}
        return Evidence(own | others.predictions(split), workspace.labels(split))

    return read_blend(weighed(workspace, "blend/teachers", tasks, evidence))


class ExternalModels:
    """The external models of a run.

    Attributes:
        clips: those of `search` and `report`.
    """

    def __init__(self, workspace: Workspace, schema: Schema) -> None:
        self._workspace = workspace
        self.clips = {name: ClipSet.of(workspace, schema, name) for name in WEIGHED_ON}

    @cached_property
    def _tasks(self) -> dict[str, dict[str, Task]]:
        return {name: self.tasks_of(clips) for name, clips in self.clips.items()}

    def tasks_of(self, clips: ClipSet) -> dict[str, Task]:
        """What they say of clips, by model."""
        return {
            name: external_task(self._workspace, name, clips)
            for name in self._workspace.config.external
        }

    def tasks(self) -> list[Task]:
        """Those of `search` and `report`."""
        return [task for own in self._tasks.values() for task in own.values()]

    def predictions(self, split: str) -> dict[str, Predictions]:
        """Of `search` or `report`, by model."""
        return {name: load_predictions(task, split) for name, task in self._tasks[split].items()}

    def labels(self, split: str) -> Labels:
        """The true ones of `search` or `report`."""
        return self.clips[split].labels()


def weighed(
    workspace: Workspace, name: str, tasks: Iterable[Task], evidence: Callable[[str], Evidence]
) -> Task:
    """The task that has the weights of what `evidence` gives by split, from the files of tasks."""
    config = workspace.config

    def work(task: Task) -> tuple[list[str], Any]:
        with searches_kept(workspace, task):
            found = blend(evidence("search"), evidence("report"), config.ensemble, config.seed)
        write_json(task.folder / BLEND_NAME, to_plain(found))
        return [BLEND_NAME], {"gap": found.search.gap}

    inputs = {
        **search_inputs(workspace, tasks),
        "draws": MOST_DRAWS,
        "said": [field.name for kind in (Blend, Blended, Score) for field in fields(kind)],
    }
    return Tasks(workspace).of_work(name, inputs, work)


def read_blend(task: Task) -> Blend:
    """The weights that `weighed` found."""
    path = task.file(BLEND_NAME)
    return from_plain(Blend, read_json(path), str(path), RunError)


def load_predictions(task: Task, split: str) -> Predictions:
    """Those on a split that a task wrote."""
    return Predictions.load(task.file(predictions_name(split)))
