"""What finished trainings and measurements left: their figures, and predictions to choose by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TypeVar

from common.codec import from_plain
from records.folds import HELD
from runs import Predictions, RunError, Task
from runs.marker import DONE_NAME
from stages.jobs import Phase, predictions_name

Summary = TypeVar("Summary")


@dataclass(frozen=True)
class TrainingSummary:
    """A training.

    Attributes:
        family: of the member.
        parameters: that it moved.
        bytes: of the model at 8 bits.
        clips_per_second: that it took.
        training_seconds: how long it took, without the scoring on the way.
        peak_memory: bytes.
        cpu_load: cores that it kept busy; and the share of time in which a GPU was.
        learning_rate: of its settings, and so is `batch_size`.
        epochs: after which the first phase had the weights that it came to.
        stop: the same on its schedule, where `train.patience` decided it.
        loss: the last that was logged.
        steps: that it took, of those that were planned.
        shortened: whether there was no time for all.
        evaluation_seconds: how long that scoring took.
        kept: the better phase by GAP on `search`: "main" or "average".
        gap_search_main: GAP@20 on `search` at the end of the first phase; the same of the averaged
            weights, where there was a second phase. None where it was not predicted; and so of
            `held`, the clips of the fold that was left out, and of `report`.
        map_at_10_report: MAP@10 on `report` of what was kept.
        map_report: MAP on `report` of what was kept, over the labels that are stored.
        gap_error_report: the standard error of its GAP on `report`, and so of the other two.
    """

    family: str
    parameters: int
    bytes: int
    clips_per_second: float
    training_seconds: float
    peak_memory: int
    kept: Phase
    evaluation_seconds: float = 0.0
    cpu_load: float | None = None
    gpu_load: float | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    epochs: float | None = None
    stop: float | None = None
    loss: float | None = None
    steps: int | None = None
    planned_steps: int | None = None
    shortened: bool = False
    gap_search_main: float | None = None
    gap_search_average: float | None = None
    gap_held_main: float | None = None
    gap_held_average: float | None = None
    gap_report_main: float | None = None
    gap_report_average: float | None = None
    map_at_10_report: float | None = None
    map_report: float | None = None
    gap_error_report: float | None = None
    map_at_10_error_report: float | None = None
    map_error_report: float | None = None

    def gap(self, split: str) -> float:
        """GAP@20 on `search`, `held` or `report` of what was kept."""
        return getattr(self, f"gap_{split}_{self.kept}")


@dataclass(frozen=True)
class MeasurementSummary:
    """A student by every recipe.

    Attributes:
        scored: GAP@20 by recipe on the split that was scored; empty where none was.
        bytes: of its tensors by recipe; empty where it was not reported.
        gap: GAP@20 on `report` at uniform8, where it was reported.
        gap_float: the same at float32.
    """

    scored: dict[str, float]
    bytes: dict[str, int]
    gap: float = 0.0
    gap_float: float = 0.0


def read_summary(task: Task, kind: type[Summary]) -> Summary:
    """The summary of a finished task.

    Raises:
        RunError: it is not done, or its figures are others.
    """
    return from_plain(kind, task.summary(), f"{task.folder / DONE_NAME}: summary", RunError)


@dataclass(frozen=True)
class Trained:
    """Finished trainings by name, and what they are chosen by.

    Attributes:
        tasks: the trainings on all clips; none where the models of the folds are packed.
        folds: with folds, for each of them the trainings that left it out.
        copies: by name, the trainings that differ from those in `tasks` by their seeds alone.
    """

    tasks: Mapping[str, Task]
    folds: Sequence[Mapping[str, Task]] = ()
    copies: Mapping[str, Sequence[Task]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of all trainings."""
        return list(self.tasks or self.folds[0])

    def models(self, name: str) -> list[Task]:
        """What there is of it to be packed."""
        if not self.tasks:
            return [fold[name] for fold in self.folds]
        return [self.tasks[name], *self.copies.get(name, ())]

    def predictions(self, name: str, split: str) -> Predictions:
        """Those on `search` or `report`; with folds, `search` is fold after fold.

        Where the models of the folds are packed, those on `report` are of the first.
        """
        if split == "search" and self.folds:
            return joined((fold[name] for fold in self.folds), predictions_name(HELD))
        return Predictions.load(self.models(name)[0].file(predictions_name(split)))

    def chosen_by(self) -> list[Task]:
        """The tasks whose predictions on `search` these are."""
        return [task for fold in self.folds or [self.tasks] for task in fold.values()]

    def summary(self, name: str) -> TrainingSummary:
        """Its figures; with folds, those of `search` are the mean over the folds held out.

        Where the models of the folds are packed, the others are of the first.
        """
        own = read_summary(self.models(name)[0], TrainingSummary)
        if not self.folds:
            return own
        main, average = _held_out([fold[name] for fold in self.folds])
        return replace(own, gap_search_main=main, gap_search_average=average)


def better_phase(folds: Sequence[Task]) -> Phase | None:
    """The weights to keep of a training like those that each left a fold out, by its clips."""
    if not folds:
        return None
    main, average = _held_out(folds)
    return "average" if average is not None and average > main else "main"


def mean_stop(folds: Sequence[Task]) -> float | None:
    """After how many epochs of a training like those that each left a fold out to stop.

    It is the mean over those that `train.patience` decided.
    """
    found = [read_summary(task, TrainingSummary).stop for task in folds]
    stops = [stop for stop in found if stop is not None]
    return fmean(stops) if stops else None


def joined(tasks: Iterable[Task], name: str) -> Predictions:
    """The predictions in the files `name` of tasks, one after the other.

    Of one task they stay on disk, memory-mapped.
    """
    found = [Predictions.load(task.file(name)) for task in tasks]
    return found[0] if len(found) == 1 else Predictions.concatenate(found)


def _held_out(folds: Sequence[Task]) -> tuple[float, float | None]:
    """Mean GAP@20 of trainings on the folds that they left out: main, and averaged weights'."""
    found = [read_summary(task, TrainingSummary) for task in folds]
    main = [own.gap_held_main for own in found if own.gap_held_main is not None]
    average = [own.gap_held_average for own in found if own.gap_held_average is not None]
    return fmean(main), fmean(average) if average else None
