"""The students of a run, each by every recipe: what it weighs and what it scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from safetensors.torch import load_file

from common.files import read_json
from families import build
from families.meta import without_memory
from quantize.bundle.content import BundleMember
from quantize.bundle.layout import MemberLayout
from quantize.selection.problem import Option
from runs import Predictions, Task
from stages.execute import Made
from stages.jobs import WEIGHTS_NAME, Measurement, Upstream, predictions_name
from stages.measurement_work import (
    LAYOUTS_NAME,
    job_recipes,
    search_predictions_name,
    stored_by,
)
from stages.summaries import MeasurementSummary, TrainingSummary, read_summary
from stages.workspace import Workspace


@dataclass(frozen=True)
class Sensitivity:
    """A student by one recipe: bytes of its tensors, GAP@20 on `search`, and what that lost."""

    member: str
    family: str
    recipe: str
    bytes: int
    gap: float
    loss: float


class Catalogue:
    """Measures what is not measured yet, in processes of its own.

    Args:
        workspace: the run.
        students: finished trainings by name.

    Attributes:
        students: as given.
        measured: the finished measurements by student.
        figures: what they found.

    Raises:
        JobsFailed: a process failed; the others have finished.
    """

    def __init__(self, workspace: Workspace, students: Mapping[str, Task]) -> None:
        self.students = students
        self._schema = workspace.schema
        self._jobs = {name: _measurement(workspace, name, task) for name, task in students.items()}
        tasks = Made(workspace).of_jobs(list(self._jobs.values()))
        self.measured = dict(zip(students, tasks, strict=True))
        self.figures = {n: read_summary(t, MeasurementSummary) for n, t in self.measured.items()}
        # A search for members asks for these thousands of times.
        self.layout = cache(self._layout)

    def family(self, student: str) -> str:
        """Its family's name."""
        return self._jobs[student].setting.family

    def digest(self, student: str) -> str:
        """Of its training."""
        return self._jobs[student].trained.digest

    def options(self) -> list[Option]:
        """Every student by every recipe, with its predictions on `search`."""
        return [
            Option(name, recipe, Predictions.load(task.folder / search_predictions_name(recipe)))
            for name, task in self.measured.items()
            for recipe in self.figures[name].recipes
        ]

    def on_report(self, student: str, *, quantized: bool) -> Predictions:
        """Predictions on `report`: at uniform8, or of the float32 weights."""
        task = (self.measured if quantized else self.students)[student]
        return Predictions.load(task.folder / predictions_name("report"))

    def _layout(self, student: str, recipe: str) -> MemberLayout:
        """Its tensors as a bundle would hold them."""
        return MemberLayout.from_dict(self._layouts[student][recipe])

    @cached_property
    def _layouts(self) -> dict[str, dict[str, Any]]:
        return {n: read_json(task.folder / LAYOUTS_NAME) for n, task in self.measured.items()}

    def member(self, student: str, recipe: str, weight: float) -> BundleMember:
        """It as a bundle takes it, quantized anew: the same weights give the same codes."""
        job = self._jobs[student]
        family, config = job.setting.family, job.setting.config
        with without_memory():
            model = build(family, config, self._schema)
        chosen = next(known for known in job_recipes(job, model) if known.name == recipe)
        state = stored_by(job, chosen, model, load_file(job.trained.folder / WEIGHTS_NAME))
        return BundleMember(student, family, config, weight, state)

    def sensitivity(self) -> tuple[Sensitivity, ...]:
        """Every student by every recipe, against the weights as they were trained."""
        return tuple(
            Sensitivity(name, self.family(name), recipe, found.bytes, found.gap, whole - found.gap)
            for name, task in self.students.items()
            for whole in [read_summary(task, TrainingSummary).gap("search")]
            for recipe, found in self.figures[name].recipes.items()
        )


def _measurement(workspace: Workspace, name: str, student: Task) -> Measurement:
    config = workspace.config.quantize
    precisions = (*config.precisions, *config.group_precisions)
    return Measurement(
        f"quantized/{name}",
        workspace.setting(
            workspace.config.students[name].member, *(("precision", p) for p in precisions)
        ),
        Upstream.of(student),
        workspace.student_train_config(name).inference_batch_size,
        name,
        config,
    )
