"""The students of a run, each by every recipe: what it weighs and what it scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

import torch
from safetensors.torch import load_file

from common.files import read_json
from families import build
from families.layers.groups import tensor_groups
from quantize.bundle.content import BundleMember
from quantize.bundle.layout import MemberLayout
from quantize.recipes import Recipe, recipes_of
from quantize.selection.problem import Option
from quantize.state import quantize_state
from runs import Predictions, Task
from stages.jobs import JOB_NAME, WEIGHTS_NAME, MemberJob, predictions_name
from stages.measure_worker import LAYOUTS_NAME, search_predictions_name
from stages.workspace import Workspace


class Catalogue:
    """Measures what is not measured yet, in processes of its own.

    Args:
        workspace: the run.
        students: finished trainings by name.

    Attributes:
        students: as given.
        digests: of the students, by name.
        measured: the finished measurements by student.

    Raises:
        JobsFailed: a process failed; the others have finished.
    """

    def __init__(self, workspace: Workspace, students: Mapping[str, Task]) -> None:
        self.students = students
        self._workspace = workspace
        self._jobs = {name: self._job(name, task) for name, task in students.items()}
        tasks = workspace.execute(list(self._jobs.values()), "stages.measure_worker")
        self.measured = dict(zip(students, tasks, strict=True))
        # A search for members asks for these thousands of times.
        self.layout = cache(self._layout)
        self._figures = {name: task.summary() for name, task in self.measured.items()}
        self.digests = {name: task.digest() for name, task in students.items()}

    def _job(self, name: str, student: Task) -> MemberJob:
        trained = MemberJob.from_dict(read_json(student.folder / JOB_NAME))
        config = self._workspace.config.quantize
        return self._workspace.job(
            f"quantized/{name}",
            trained.member,
            train=trained.train,
            upstream={student.name: student.digest()},
            extra={
                "folder": str(student.folder.resolve()),
                "student": name,
                "threshold": config.threshold,
                "precisions": list(config.precisions),
                "group_precisions": list(config.group_precisions),
                "entropy": config.entropy,
            },
        )

    def family(self, student: str) -> str:
        """Its family's name."""
        return self._jobs[student].family

    def figures(self, student: str) -> dict[str, Any]:
        """GAP on `report`: `gap` at uniform8, `gap_float`; by recipe `bytes`, `gap` on `search`."""
        return self._figures[student]

    def options(self) -> list[Option]:
        """Every student by every recipe, with its predictions on `search`."""
        return [
            Option(name, recipe, Predictions.load(task.folder / search_predictions_name(recipe)))
            for name, task in self.measured.items()
            for recipe in self.figures(name)["recipes"]
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
        extra = job.extra
        with torch.device("meta"):
            model = build(job.family, job.config, self._workspace.schema)
        tried = recipes_of(
            model, extra["precisions"], extra["group_precisions"], extra["threshold"]
        )
        found: Recipe = next(one for one in tried if one.name == recipe)
        state = quantize_state(
            load_file(self.students[student].folder / WEIGHTS_NAME),
            extra["threshold"],
            found.precision,
            found.overrides(tensor_groups(model)),
        )
        return BundleMember(student, job.family, job.config, weight, state)

    def sensitivity(self) -> list[dict[str, Any]]:
        """A row a student and recipe: bytes of its tensors, GAP on `search`, and what that lost."""
        rows = []
        for name in self.students:
            recipes = self.figures(name)["recipes"]
            task = self.students[name]
            best = task.summary()
            whole = best[f"gap_search_{best['kept']}"]
            for recipe, figures in recipes.items():
                rows.append(
                    {
                        "member": name,
                        "family": self.family(name),
                        "recipe": recipe,
                        "bytes": figures["bytes"],
                        "gap": figures["gap"],
                        "loss": whole - figures["gap"],
                    }
                )
        return rows
