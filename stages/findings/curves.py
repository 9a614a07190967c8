"""What every number of bytes buys on `report`, where nothing was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from common.codec import from_plain, to_plain
from common.files import read_json, write_json
from ensemble import WeightedScorer
from metrics.ranking import slices
from quantize.precision import FLOAT32, UNIFORM8
from quantize.selection.comparison import Comparison, compare
from quantize.selection.problem import Solution
from runs import Predictions, RunError, Task, track
from stages.execute import Tasks
from stages.jobs import predictions_name
from stages.packing.catalogue import Catalogue
from stages.packing.measurement_work import quantized_by_recipe
from stages.training_work import build_model, predict_states
from stages.workspace import Workspace
from training.inference import gap_of, models_at_once

_COMPARISON_NAME = "comparison.json"
_PACKED_NAME = "packed.json"
# A member, and the recipe by which it is stored.
Option = tuple[str, str]


def compare_on_report(
    workspace: Workspace,
    catalogue: Catalogue,
    best: Sequence[Solution],
    uniform8: Sequence[Solution],
) -> Comparison:
    """Scores both curves, which were chosen on `search`; made once.

    The members that they store in other ways than were predicted yet predict `report` here.
    """
    options = sorted(set(chain.from_iterable(own.choice.items() for own in (*best, *uniform8))))
    new = [option for option in options if _is_new(option)]

    def work(task: Task) -> tuple[list[str], Any]:
        predicted = track(_predict(workspace, catalogue, new), "curve on report", len(new))
        files: dict[Option, Path] = {}
        for option, predictions in predicted:
            files[option] = task.folder / predictions_name(f"report-{len(files)}")
            # On disk, and mapped: all together may be more than fits into memory.
            predictions.save(files[option])
        scores = _Scores(workspace, catalogue, files)
        write_json(task.folder / _COMPARISON_NAME, to_plain(compare(best, uniform8, scores)))
        return [_COMPARISON_NAME, *(path.name for path in files.values())], {}

    inputs = {
        "solutions": [to_plain(own) for own in (*best, *uniform8)],
        "measured": {name: own[0].task.digest() for name, own in catalogue.models.items()},
        "fingerprint": workspace.fingerprints["report"],
        "mix": workspace.config.ensemble.mix,
    }
    task = Tasks(workspace).of_work(
        "report/curve", inputs, work, ("stages.packing.measurement_work",)
    )
    path = task.file(_COMPARISON_NAME)
    return from_plain(Comparison, read_json(path), str(path), RunError)


def score_packed(
    workspace: Workspace, catalogue: Catalogue, packed: Mapping[str, str]
) -> dict[str, float]:
    """GAP on `report` of each member of the bundle alone, as it is stored; made once.

    Args:
        workspace: the run.
        catalogue: of its students.
        packed: by member, the recipe by which it is stored.
    """

    def work(task: Task) -> tuple[list[str], Any]:
        labels, new = workspace.labels("report"), [own for own in packed.items() if _is_new(own)]
        predicted = track(_predict(workspace, catalogue, new), "members on report", len(new))
        gaps = {member: gap_of(labels, found) for (member, _), found in predicted}
        for member, recipe in packed.items():
            if member not in gaps:
                found = catalogue.models[member][0].on_report(quantized=recipe == UNIFORM8)
                gaps[member] = gap_of(labels, found)
        write_json(task.folder / _PACKED_NAME, gaps)
        return [_PACKED_NAME], {}

    inputs = {
        "packed": dict(packed),
        "measured": {name: catalogue.models[name][0].task.digest() for name in packed},
        "fingerprint": workspace.fingerprints["report"],
    }
    task = Tasks(workspace).of_work(
        "report/packed", inputs, work, ("stages.packing.measurement_work",)
    )
    return from_plain(dict[str, float], read_json(task.file(_PACKED_NAME)), str(task.folder))


def _is_new(option: Option) -> bool:
    """Whether a member that is stored so has not predicted `report` yet."""
    return option[1] not in (FLOAT32, UNIFORM8)


def _predict(
    workspace: Workspace, catalogue: Catalogue, options: Sequence[Option]
) -> chain[tuple[Option, Predictions]]:
    """The predictions on `report` of members as they are stored, one after the other."""
    split = workspace.data.open("report")

    def of_member(name: str) -> Iterator[tuple[Option, Predictions]]:
        job, file = catalogue.models[name][0].job, catalogue.models[name][0].task.file
        model = build_model(job.setting)
        recipes = [recipe for member, recipe in options if member == name]
        at_once = models_at_once(model, split, job.setting.stored_labels)
        for rows in slices(len(recipes), at_once):
            states = (
                state.dequantize()
                for recipe in recipes[rows]
                for _, state in quantized_by_recipe(job, model, file, only=recipe)
            )
            found = predict_states(job.setting, model, states, split, job.batch_size)
            yield from zip(((name, recipe) for recipe in recipes[rows]), found, strict=True)

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

    def _predictions(self, option: Option) -> Predictions:
        if option in self._files:
            return Predictions.load(self._files[option])
        measured = self._catalogue.models[option[0]][0]
        return measured.on_report(quantized=option[1] == UNIFORM8)
