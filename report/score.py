"""The one figure of a stage, by which Hydra's sweepers compare configurations: higher is better."""

from functools import singledispatch
from statistics import fmean

from ensemble.choice import Choice
from stages.all import Finished
from stages.pack import Packed
from stages.teachers import TrainedTeachers


@singledispatch
def score_of(result: object) -> float | None:
    """GAP@20 of what a stage returned, on `search` (nothing is ever chosen on `report`).

    Of teachers it is their mean, of `evaluate` that on the split that it was given; None where a
    stage scores nothing.
    """
    return None


@score_of.register
def _teachers(teachers: TrainedTeachers) -> float:
    return fmean(summary.gap("search") for summary in teachers.summaries.values())


@score_of.register
def _choice(choice: Choice) -> float:
    return choice.search.gap


@score_of.register
def _packed(packed: Packed) -> float:
    return packed.receipt.search_gap


@score_of.register
def _finished(finished: Finished) -> float:
    return _packed(finished.packed)


@score_of.register(dict)
def _scores(scores: dict[str, float | int]) -> float:
    return scores["gap"]
