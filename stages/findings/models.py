"""The models of a run: their figures, their learning curves, and what they predicted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.codec import from_plain
from common.errors import UserError
from runs import Predictions, RunError
from runs.marker import DONE_NAME, Marker
from stages.config import copy_name
from stages.jobs import predictions_name
from stages.summaries import TrainingSummary
from stages.workspace import Workspace
from training.log import METRICS_NAME, logged


@dataclass(frozen=True)
class Curves:
    """What a training logged on its way.

    Attributes:
        steps: of what follows, (n,).
        loss: (n,).
        speed: (n,) clips a second.
        searched: steps at which it was scored on `search`.
        gap: GAP@20 there.
    """

    steps: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    searched: list[int] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Model:
    """A teacher or a student; what is not finished has no marker and no summary.

    Attributes:
        folder: of its training.
        curves: as far as it came.
        marker: of the finished training.
        summary: its figures.
    """

    folder: Path
    curves: Curves
    marker: Marker | None = None
    summary: TrainingSummary | None = None

    def predictions(self, split: str) -> Predictions:
        """Those of a finished training.

        Raises:
            RunError: they are missing or damaged.
        """
        if self.marker is None:
            raise RunError(f"{self.folder} is not finished")
        return Predictions.load(self.marker.file(self.folder, predictions_name(split)))


def read_models(places: Mapping[str, Path]) -> dict[str, Model]:
    """The trainings that were begun, by the names that their folders are given by."""
    return {name: _read_model(place) for name, place in places.items() if place.is_dir()}


def teacher_places(workspace: Workspace) -> dict[str, Path]:
    """Where each member's training on labels lies; where folds are packed, that without the first.

    That of any other fold is like it.
    """
    root = workspace.run.root / ("folds/0" if workspace.packs_folds else "")
    return {name: root / "teachers" / name for name in workspace.config.members}


def student_places(workspace: Workspace) -> dict[str, Path]:
    """Where the models lie that may be packed, by the names that they have in a bundle.

    One that learns from labels is its member's teacher, or a copy of that.
    """
    config, root = workspace.config, workspace.run.root
    places = {}
    for name in config.students:
        folder, trained = config.trained_as(name)
        if workspace.packs_folds:
            for fold in range(config.folds):
                place = root / "folds" / str(fold) / folder / trained
                places[copy_name(name, fold + 1)] = place
        else:
            for copy in range(1, config.copies + 1):
                places[copy_name(name, copy)] = root / folder / copy_name(trained, copy)
    return places


def _read_model(folder: Path) -> Model:
    curves = read_curves(folder / METRICS_NAME)
    marker = finished(folder)
    if marker is None:
        return Model(folder, curves)
    place = f"{folder / DONE_NAME}: summary"
    return Model(folder, curves, marker, from_plain(TrainingSummary, marker.summary, place))


def finished(folder: Path) -> Marker | None:
    """The marker of a task's folder; None where it is not done, or the marker is damaged."""
    try:
        return Marker.read(folder)
    except UserError:
        return None


def read_curves(path: Path) -> Curves:
    """What a training logged; a line that was torn by a kill is left out."""
    curves = Curves()
    with suppress(OSError):
        for values in logged(path):
            with suppress(ValueError, TypeError, KeyError):
                _take(curves, values)
    return curves


def _take(curves: Curves, values: Mapping[str, Any]) -> None:
    step = int(values["step"])
    if "search" in values:
        gap = float(values["search"]["gap"])
        curves.searched.append(step)
        curves.gap.append(gap)
    if "loss" in values:
        loss, speed = float(values["loss"]), float(values["clips_per_second"])
        curves.steps.append(step)
        curves.loss.append(loss)
        curves.speed.append(speed)
