"""The students of a run, each by every recipe: what it weighs and what it scores."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from itertools import chain
from statistics import fmean
from typing import Any

from common.codec import from_plain
from common.files import read_json
from families.registry import meta_module
from quantize.bundle.content import BundleMember
from quantize.bundle.layout import MemberLayout
from quantize.errors import BundleError
from quantize.selection.offer import worth_offering
from quantize.selection.problem import Option
from records.folds import HELD
from runs import Predictions, Task
from stages.execute import Tasks, named
from stages.jobs import Measurement, Upstream, predictions_name
from stages.measurement_work import LAYOUTS_NAME, quantized_by_recipe, recipe_predictions_name
from stages.receipt import MemberReceipt
from stages.summaries import MeasurementSummary, Trained, joined, read_summary
from stages.workspace import Workspace


class Catalogue:
    """Measures what is not measured yet, in processes of its own.

    Args:
        workspace: the run.
        students: the finished trainings.

    Attributes:
        students: as given.
        jobs: the measurements by student, of what is to be packed.
        measured: those as finished tasks.
        scored: the tasks of those that say what a student scores on `search`, fold by fold where
            there are folds, by student.

    Raises:
        JobsFailed: a process failed; the others have finished.
    """

    def __init__(self, workspace: Workspace, students: Trained) -> None:
        self.students = students
        names = list(students.tasks)
        self._hosts = {name: workspace.config.host_of_student(name) for name in names}
        self._split = HELD if students.folds else "search"
        self.jobs = {name: _measurement(workspace, name, students.tasks) for name in names}
        jobs = {
            (fold.task_name(), name): _measurement(fold, name, own)
            for fold, own in zip(workspace.folds, students.folds, strict=True)
            for name in names
        }
        done = Tasks(workspace).of_jobs(jobs | {("", name): self.jobs[name] for name in names})
        self.measured = {name: done["", name] for name in names}
        self.scored = {
            name: [done[key] for key in jobs if key[1] == name] or [done["", name]]
            for name in names
        }
        self._figures = {name: self._read_figures(name) for name in names}

    @property
    def tasks(self) -> list[Task]:
        """All measurements."""
        return [*self.measured.values(), *chain.from_iterable(self.scored.values())]

    def options(self) -> list[Option]:
        """Every student by the recipes worth offering, with its predictions on `search`."""
        return [
            Option(
                name,
                recipe,
                joined(tasks, recipe_predictions_name(self._split, recipe)),
                self._hosts[name],
            )
            for name, tasks in self.scored.items()
            for recipe in worth_offering(self._figures[name].scored, self._figures[name].bytes)
        ]

    def on_report(self, student: str, *, quantized: bool) -> Predictions:
        """Predictions on `report`: at uniform8, or of the float32 weights."""
        task = (self.measured if quantized else self.students.tasks)[student]
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
        family, stored = self.jobs[student].setting.family, found.bytes[recipe]
        return MemberReceipt(student, family, recipe, stored, weight, found.gap, found.gap_float)

    def sensitivity(self) -> list[dict[str, Any]]:
        """A row for every student by every recipe.

        `bytes` are those of its tensors; `gap` is of `search`, and `loss` what the weights as they
        were trained have more.
        """
        trained = {name: self.students.summary(name) for name in self.jobs}
        return [
            {
                "member": name,
                "family": job.setting.family,
                "recipe": recipe,
                "bytes": self._figures[name].bytes[recipe],
                "gap": gap,
                "loss": trained[name].gap("search") - gap,
            }
            for name, job in self.jobs.items()
            for recipe, gap in self._figures[name].scored.items()
        ]

    def _read_figures(self, name: str) -> MeasurementSummary:
        """Of a student as it is packed; its scores on `search` are the mean over the folds."""
        by_fold = [read_summary(task, MeasurementSummary).scored for task in self.scored[name]]
        means = {recipe: fmean(fold[recipe] for fold in by_fold) for recipe in by_fold[0]}
        return replace(read_summary(self.measured[name], MeasurementSummary), scored=means)


def _measurement(workspace: Workspace, name: str, students: Mapping[str, Task]) -> Measurement:
    """A student that stands on another is measured on that one's weights as they were trained."""
    config = workspace.config.quantize
    host = named(workspace.config.host_of_student(name), students)
    train = workspace.config.student_train_config(name)
    scored = None if workspace.folds else "search"
    return Measurement(
        workspace.task_name("quantized", name),
        workspace.setting(
            workspace.config.students[name].member,
            *(("precision", precision) for precision in config.names()),
            host=host,
        ),
        Upstream.of(students[name]),
        train.inference_batch_size,
        train.threads,
        name,
        scored=HELD if workspace.leaves_out else scored,
        reported=not workspace.leaves_out,
        **vars(config),
    )
