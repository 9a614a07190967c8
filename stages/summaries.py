"""What the `DONE` markers of trainings and measurements say in figures."""

from dataclasses import dataclass
from typing import TypeVar

from common.codec import from_plain
from runs import RunError, Task
from runs.marker import DONE_NAME

Summary = TypeVar("Summary")


@dataclass(frozen=True)
class TrainingSummary:
    """A training.

    Attributes:
        family: of the member.
        parameters: that it moved.
        bytes: of the model at 8 bits.
        clips_per_second: that it took.
        training_seconds: how long it took.
        peak_memory: bytes.
        kept: the better phase by GAP on `search`: "main" or "average".
        gap_search_main: GAP@20 on `search` at the end of the first phase; the same of the averaged
            weights, where there was a second phase, and on `report`, where no fold was left out.
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
    kept: str
    gap_search_main: float
    gap_search_average: float | None = None
    gap_report_main: float | None = None
    gap_report_average: float | None = None
    map_at_10_report: float | None = None
    map_report: float | None = None
    gap_error_report: float | None = None
    map_at_10_error_report: float | None = None
    map_error_report: float | None = None

    def gap(self, split: str) -> float:
        """GAP@20 on `search` or `report` of what was kept."""
        return getattr(self, f"gap_{split}_{self.kept}")


@dataclass(frozen=True)
class RecipeFigures:
    """A student by one recipe: bytes of its tensors, GAP@20 on `search`."""

    bytes: int
    gap: float


@dataclass(frozen=True)
class MeasurementSummary:
    """A student by every recipe; `gap` and `gap_float` are of `report`, at uniform8 and float32."""

    recipes: dict[str, RecipeFigures]
    gap: float
    gap_float: float


def read_summary(task: Task, kind: type[Summary]) -> Summary:
    """The summary of a finished task.

    Raises:
        RunError: it is not done, or its figures are others.
    """
    return from_plain(kind, task.summary(), f"{task.folder / DONE_NAME}: summary", RunError)
