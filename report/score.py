"""The one figure of a stage, by which Hydra's sweepers compare configurations: higher is better."""

from functools import singledispatch
from statistics import fmean

from ensemble.choice import Choice
from stages.all import Finished
from stages.ensemble import BlendedChoice
from stages.pack import Packed
from stages.teachers import TrainedTeachers
from stages.tune import Tuned
from tune.config import BYTES


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
def _tuned(tuned: Tuned) -> float | None:
    """The mean of the studies' best, by their first objective."""
    best = [
        (-1 if study.objectives[0] == BYTES else 1) * study.trials[study.kept[0]].values[0]
        for study in tuned.studies
        if study.kept
    ]
    return fmean(best) if best else None


@score_of.register
def _choice(choice: Choice) -> float:
    return choice.search.gap


@score_of.register
def _blended_choice(blended: BlendedChoice) -> float:
    return blended.blend.search.gap


@score_of.register
def _packed(packed: Packed) -> float:
    return packed.receipt.search_gap


@score_of.register
def _bundles(bundles: tuple) -> float:  # type: ignore[type-arg]
    """Of bundles under several budgets that of the largest."""
    return max(bundles, key=lambda own: own.receipt.budget_bytes).receipt.search_gap


@score_of.register
def _finished(finished: Finished) -> float:
    return _packed(finished.packed)


@score_of.register(dict)
def _scores(scores: dict[str, float | int]) -> float:
    return scores["gap"]
