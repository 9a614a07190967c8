"""The students of a run, each by every recipe: what it weighs and what it scores."""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from quantize.selection.offer import worth_offering
from quantize.selection.option import Option
from records.folds import HELD
from runs import Predictions, Task
from stages.config import copy_name
from stages.execute import Tasks, named
from stages.job import Upstream
from stages.jobs import Measurement, predictions_name
from stages.packing.copies import SeedVariance, UnseenByAll
from stages.packing.measured import MeasuredModel
from stages.packing.measurement_work import recipe_predictions_name
from stages.summaries import MeasurementSummary, Trained, joined, read_summary
from stages.workspace import Workspace


class Catalogue:
    """Measures what is not measured yet, in processes of its own.

    Args:
        workspace: the run.
        students: the finished trainings.
        maker: the stage to be run first where a measurement is missing. None: it is made.

    Attributes:
        students: as given.
        tasks: all measurements.
        models: by student, those of its models that may be packed, as many as are wanted of them.

    Raises:
        JobsFailed: a process failed; the others have finished.
        RunError: a measurement is missing, and there is a `maker`.
    """

    def __init__(self, workspace: Workspace, students: Trained, maker: str | None = None) -> None:
        self.students = students
        self._workspace = workspace
        self._hosts = {name: workspace.config.host_of_student(name) for name in students.names}
        self._split = HELD if students.folds else "search"
        by_fold = {
            (name, number): _measurement(fold, name, number, own, own[name])
            for number, (fold, own) in enumerate(zip(workspace.folds, students.folds, strict=True))
            for name in students.names
        }
        packed = {
            (name, number): _measurement(workspace, name, number, students.tasks, task)
            for name in ([] if workspace.packs_folds else students.names)
            for number, task in enumerate(students.models(name))
        }
        tasks = Tasks(workspace, maker).of_jobs(
            {("fold", *key): job for key, job in by_fold.items()}
            | {("packed", *key): job for key, job in packed.items()}
        )
        self.tasks = list(tasks.values())
        kind, jobs = ("packed", packed) if packed else ("fold", by_fold)
        self.models: dict[str, list[MeasuredModel]] = {name: [] for name in students.names}
        for (name, number), job in jobs.items():
            model = self._model(name, number, job, tasks[kind, name, number])
            self.models[name].append(model)
        kind, jobs = ("fold", by_fold) if by_fold else ("packed", packed)
        self._measured = {
            name: [tasks[kind, *key] for key in jobs if key[0] == name] for name in students.names
        }
        self._scored = {name: _mean_scores(found) for name, found in self._measured.items()}

    def _model(self, name: str, number: int, job: Measurement, task: Task) -> MeasuredModel:
        host = self._hosts[name]
        # What remembers stands on the first copy of its host, but on its own fold's.
        if host is not None and self._workspace.packs_folds:
            host = copy_name(host, number + 1)
        return MeasuredModel(copy_name(name, number + 1), host, job, task)

    def options(self) -> list[Option]:
        """Every student by the recipes worth offering, with its predictions on `search`."""
        return [
            Option(
                name,
                recipe,
                partial(self.on_search, name, recipe),
                self._hosts[name],
            )
            for name, scored in self._scored.items()
            for recipe in worth_offering(scored, self.models[name][0].figures.bytes)
        ]

    def on_search(self, student: str, recipe: str) -> Predictions:
        """What a student says of `search` by a recipe; with folds, of each what did not see it."""
        return joined(self._measured[student], recipe_predictions_name(self._split, recipe))

    def unseen_by_all(self) -> UnseenByAll:
        """The clips on which means of several models can be scored; where there are folds."""
        truths = [fold.labels(HELD) for fold in self._workspace.folds]
        held, search = self._by_fold(HELD), self._by_fold("search")
        return UnseenByAll(held, search, truths, self._workspace.config.ensemble.mix)

    def seed_variance(self) -> SeedVariance:
        """What copies differ by, on the clips of `report`, whose labels are not looked at."""
        by_seed = {
            name: _predictions(self.students.models(name), "report") for name in self.students.names
        }
        return SeedVariance(self._by_fold("report"), by_seed)

    def _by_fold(self, split: str) -> dict[str, list[Predictions]]:
        return {
            name: _predictions([own[name] for own in self.students.folds], split)
            for name in self.students.names
        }

    def packed(self, student: str, copies: int) -> list[MeasuredModel]:
        """What is packed of a student where so many models of each are wanted."""
        return self.models[student][:copies]

    def sensitivity(self) -> list[dict[str, Any]]:
        """A row for every student by every recipe.

        `bytes` are those of its tensors; `gap` is of `search`, and `loss` what the weights as they
        were trained have more.
        """
        trained = {name: self.students.summary(name) for name in self.models}
        return [
            {
                "member": name,
                "family": models[0].job.setting.family,
                "recipe": recipe,
                "bytes": models[0].figures.bytes[recipe],
                "gap": gap,
                "loss": trained[name].gap("search") - gap,
            }
            for name, models in self.models.items()
            for recipe, gap in self._scored[name].items()
        ]


def _predictions(trained: Sequence[Task], split: str) -> list[Predictions]:
    return [Predictions.load(task.file(predictions_name(split))) for task in trained]


def _mean_scores(measured: list[Task]) -> dict[str, float]:
    """GAP on `search` by recipe: the mean over the folds, where there are folds."""
    found = [read_summary(task, MeasurementSummary).scored for task in measured]
    return {recipe: fmean(scored[recipe] for scored in found) for recipe in found[0]}


def _measurement(
    workspace: Workspace, name: str, number: int, students: Mapping[str, Task], trained: Task
) -> Measurement:
    """A student that stands on another is measured on that one's weights as they were trained.

    Args:
        workspace: the run, or what of it is done without a fold.
        name: of the student.
        number: of the fold, or which of the student's copies it is.
        students: the trainings among which its host is.
        trained: its own.
    """
    config = workspace.config.quantize
    host = named(workspace.config.host_of_student(name), students)
    train = workspace.config.student_train_config(name)
    scored = None if workspace.folds else "search"
    own = name if workspace.leaves_out else copy_name(name, number + 1)
    return Measurement(
        workspace.task_name("quantized", own),
        workspace.setting(
            workspace.config.students[name].member,
            *(("precision", precision) for precision in config.names()),
            host=host,
        ),
        Upstream.of(trained),
        train.inference_batch_size,
        train.threads,
        own,
        scored=HELD if workspace.leaves_out else scored,
        reported=workspace.packs_folds or not workspace.leaves_out,
        **vars(config),
    )
