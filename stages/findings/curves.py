"""What every number of bytes buys on `report`, where nothing was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from common.codec import from_plain, to_plain
from common.files import read_json, write_json
from ensemble import WeightedScorer
from quantize.precision import FLOAT32, UNIFORM8
from quantize.selection.comparison import Comparison, compare
from quantize.selection.problem import Solution
from runs import Predictions, RunError, Task, track
from stages.catalogue import Catalogue
from stages.execute import Tasks
from stages.jobs import predictions_name
from stages.measurement_work import quantized_by_recipe
from stages.training_work import build_model, predict
from stages.workspace import Workspace
from training.inference import gap_of

_COMPARISON_NAME = "comparison.json"
# A member, and the recipe by which it is stored.
Option = tuple[str, str]


@dataclass(frozen=True)
class OnReport:
    """What was chosen on `search`, scored on `report`.

    Attributes:
        comparison: of the curve with uniform 8 bits.
        packed: GAP@20 of each member of the bundle, as it is stored.
    """

    comparison: Comparison
    packed: dict[str, float]


def compare_on_report(
    workspace: Workspace,
    catalogue: Catalogue,
    best: Sequence[Solution],
    uniform8: Sequence[Solution],
    packed: Mapping[str, str],
) -> OnReport:
    """Scores both curves, which were chosen on `search`, and the packed members; made once.

    Members that are stored in other ways than were predicted yet predict `report` here.

    Args:
        workspace: the run.
        catalogue: of its students.
        best: the curve.
        uniform8: the curve with uniform 8 bits alone.
        packed: by member of the bundle, the recipe by which it is stored.
    """
    choices = [*(own.choice for own in (*best, *uniform8)), packed]
    options = sorted(set(chain.from_iterable(own.items() for own in choices)))
    new = [option for option in options if option[1] not in (FLOAT32, UNIFORM8)]

    def work(task: Task) -> tuple[list[str], Any]:
        predicted = track(_predict(workspace, catalogue, new), "curve on report", len(new))
        files: dict[Option, Path] = {}
        for option, predictions in predicted:
            files[option] = task.folder / predictions_name(f"report-{len(files)}")
            # On disk, and mapped: all together may be more than fits into memory.
            predictions.save(files[option])
        scores = _Scores(workspace, catalogue, files)
        gaps = {option[0]: scores.of_one(option) for option in packed.items()}
        found = OnReport(compare(best, uniform8, scores), gaps)
        write_json(task.folder / _COMPARISON_NAME, to_plain(found))
        return [_COMPARISON_NAME, *(path.name for path in files.values())], {}

    inputs = {
        "solutions": [to_plain(own) for own in (*best, *uniform8)],
        "packed": dict(packed),
        "measured": {name: own[0].task.digest() for name, own in catalogue.models.items()},
        "fingerprint": workspace.fingerprints["report"],
        "mix": workspace.config.ensemble.mix,
    }
    task = Tasks(workspace).of_work("report/curve", inputs, work, ("stages.measurement_work",))
    path = task.file(_COMPARISON_NAME)
    return from_plain(OnReport, read_json(path), str(path), RunError)


def _predict(
    workspace: Workspace, catalogue: Catalogue, options: Sequence[Option]
) -> chain[tuple[Option, Predictions]]:
    """The predictions on `report` of members as they are stored, one after the other."""
    split = workspace.data.open("report")

    def of_member(name: str) -> list[tuple[Option, Predictions]]:
        job, file = catalogue.models[name][0].job, catalogue.models[name][0].task.file
        model = build_model(job.setting)
        found = []
        for recipe in (recipe for member, recipe in options if member == name):
            ((_, state),) = quantized_by_recipe(job, model, file, only=recipe)
            model.load_state_dict(state.dequantize())
            predictions = predict(job.setting, model, split, job.batch_size)
            found.append(((name, recipe), predictions))
        return found

    return chain.from_iterable(map(of_member, dict.fromkeys(name for name, _ in options)))


class _Scores:
    """GAP on `report` of a solution, and of the draws of its clips."""

    def __init__(
        self, workspace: Workspace, catalogue: Catalogue, files: Mapping[Option, Path]
    ) -> None:
        self._labels = workspace.labels("report")
        self._mix = workspace.config.ensemble.mix
        self._catalogue = catalogue
        self._files = files

    def __call__(self, solution: Solution) -> tuple[float, np.ndarray]:
        members = [self._predictions(option) for option in solution.choice.items()]
        weights = np.array(list(solution.weights.values()))
        scorer = WeightedScorer(members, self._labels, mix=self._mix)
        return float(scorer.gap(weights[None]).gap[0]), scorer.resampled_gap(weights)

    def of_one(self, option: Option) -> float:
        """GAP of a member alone."""
        return gap_of(self._labels, self._predictions(option))

    def _predictions(self, option: Option) -> Predictions:
        if option in self._files:
            return Predictions.load(self._files[option])
        measured = self._catalogue.models[option[0]][0]
        return measured.on_report(quantized=option[1] == UNIFORM8)
