"""The students of a run, each by every recipe: what it weighs and what it scores."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from common.codec import from_plain
from common.files import read_json
from families.registry import meta_module
from quantize.bundle.content import BundleMember
from quantize.bundle.layout import MemberLayout
from quantize.errors import BundleError
from quantize.selection.problem import Option
from runs import Predictions, Task
from stages.execute import Tasks, named
from stages.jobs import Measurement, Upstream, predictions_name
from stages.measurement_work import LAYOUTS_NAME, quantized_by_recipe, search_predictions_name
from stages.receipt import MemberReceipt
from stages.summaries import MeasurementSummary, TrainingSummary, read_summary
from stages.workspace import Workspace


class Catalogue:
    """Measures what is not measured yet, in processes of its own.

    Args:
        workspace: the run.
        students: finished trainings by name.

    Attributes:
        students: as given.
        jobs: the measurements by student.
        measured: those as finished tasks.

    Raises:
        JobsFailed: a process failed; the others have finished.
    """

    def __init__(self, workspace: Workspace, students: Mapping[str, Task]) -> None:
        self.students = students
        self._hosts = {name: workspace.config.host_of_student(name) for name in students}
        self.jobs = {name: _measurement(workspace, name, students) for name in students}
        self.measured = Tasks(workspace).of_jobs(self.jobs)
        self._figures = {n: read_summary(t, MeasurementSummary) for n, t in self.measured.items()}

    def options(self) -> list[Option]:
        """Every student by every recipe, with its predictions on `search`."""
        return [
            Option(
                name,
                recipe,
                Predictions.load(task.file(search_predictions_name(recipe))),
                self._hosts[name],
            )
            for name, task in self.measured.items()
            for recipe in self._figures[name].recipes
        ]

    def on_report(self, student: str, *, quantized: bool) -> Predictions:
        """Predictions on `report`: at uniform8, or of the float32 weights."""
        task = (self.measured if quantized else self.students)[student]
        return Predictions.load(task.file(predictions_name("report")))

    @cached_property
    def layouts(self) -> dict[tuple[str, str], MemberLayout]:
        """By student and recipe, the tensors as a bundle would hold them."""
        return {
            (name, recipe): from_plain(MemberLayout, layout, "layout", BundleError)
            for name, task in self.measured.items()
            for recipe, layout in read_json(task.file(LAYOUTS_NAME)).items()
        }

    def member(self, student: str, recipe: str, weight: float) -> BundleMember:
        """It as a bundle takes it: with the codes that were measured."""
        job = self.jobs[student]
        family, config = job.setting.family, job.setting.config
        model = meta_module(family, config, job.setting.data.schema)
        measured = self.measured[student].file
        ((_, state),) = quantized_by_recipe(job, model, measured, only=recipe)
        return BundleMember(student, family, config, weight, state)

    def receipt(self, student: str, recipe: str, weight: float) -> MemberReceipt:
        """What the receipt of a bundle says of it."""
        found = self._figures[student]
        family, stored = self.jobs[student].setting.family, found.recipes[recipe].bytes
        return MemberReceipt(student, family, recipe, stored, weight, found.gap, found.gap_float)

    def sensitivity(self) -> list[dict[str, Any]]:
        """A row for every student by every recipe.

        `bytes` are those of its tensors; `gap` is of `search`, and `loss` what the weights as they
        were trained have more.
        """
        trained = {n: read_summary(task, TrainingSummary) for n, task in self.students.items()}
        return [
            {
                "member": name,
                "family": job.setting.family,
                "recipe": recipe,
                **vars(found),
                "loss": trained[name].gap("search") - found.gap,
            }
            for name, job in self.jobs.items()
            for recipe, found in self._figures[name].recipes.items()
        ]


def _measurement(workspace: Workspace, name: str, students: Mapping[str, Task]) -> Measurement:
    """A student that stands on another is measured on that one's weights as they were trained."""
    config = workspace.config.quantize
    host = named(workspace.config.host_of_student(name), students)
    train = workspace.student_train_config(name)
    precisions = config.names()
    return Measurement(
        f"quantized/{name}",
        workspace.setting(
            workspace.config.students[name].member,
            *(("precision", p) for p in precisions),
            host=host,
        ),
        Upstream.of(students[name]),
        train.inference_batch_size,
        train.threads,
        name,
        **vars(config),
    )
