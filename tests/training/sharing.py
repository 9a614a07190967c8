"""A short training of every family, by one process or by several that share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from families import build, list_families, registry, remembers
from records import Split, SplitSpec, open_split
from tests.conftest import SMALL_FRAMES
from tests.families.flavors import FLAVORS
from training.config import TrainConfig
from training.evaluation import Evaluation
from training.feed import Beside
from training.objective import HardLabels
from training.ranks import ALONE, OtherRankFailed, Ranks, joined
from training.time_limit import TimeLimit
from training.trainer import Trainer

TRAIN = TrainConfig(
    epochs=1,
    batch_size=24,
    learning_rate=1e-3,
    draw_frames=4,
    averaging_epochs=0.4,
    averaging_decay=0.8,
    precision="float32",
    evaluate_every=0.4,
    patience=0.4,
)
# A last task is of the labels without a vertical.
SCHEMA = replace(
    SMALL_FRAMES,
    vertical_names=("even", "odd"),
    label_verticals=tuple((label % 2,) if label < 24 else () for label in range(30)),
)
FAMILIES = [name for name in list_families() if not remembers(name)]
# One with batch norm of frames, one of means with dropout, one whose loss has parameters.
THREE = ["dbof", "mmoe", "shared_bottom"]
# It has time for fewer steps than it wants.
HURRIED = "mmoe"


def flavor_of(family: str) -> dict[str, Any]:
    """The small configuration with the most settings."""
    return max(FLAVORS[family], key=len)


def split_of(data: Path, name: str) -> Split:
    return open_split(data, name, SplitSpec(f"{name}-*"), SMALL_FRAMES, cache=None)


def train_one(family: str, data: Path, folder: Path, ranks: Ranks = ALONE) -> None:
    """Writes the weights of both phases; the last quarter of a batch are clips without labels.

    Three families are scored on the way, and what scores best is kept. A second goes by when the
    leading rank looks at its clock; the clocks of the others go wrong.
    """
    split = split_of(data, "train")
    own, others = split.select(np.arange(110)), split.select(np.arange(110, 160))
    place = folder / family
    place.mkdir(parents=True, exist_ok=True)
    seconds, pace = count(), 1 if ranks.leads else 100
    search = split_of(data, "search") if family in THREE else None
    torch.manual_seed(5)
    trained = Trainer(
        build(family, flavor_of(family), SCHEMA),
        HardLabels(),
        own,
        TRAIN,
        seed=5,
        folder=place,
        draws_frames=registry.get(family).sampling == "draw",
        beside=Beside(others, 0.25),
        evaluation=None if search is None else Evaluation.of(search, TRAIN, len(own), place),
        limit=TimeLimit(16) if family == HURRIED else None,
        ranks=ranks,
        clock=lambda: float(pace * next(seconds)),
    ).run()
    assert trained.shortened is (family == HURRIED)
    if ranks.leads:
        assert trained.average is not None
        weights = {f"main/{name}": value for name, value in trained.main.items()}
        weights |= {f"average/{name}": value for name, value in trained.average.items()}
        save_file(weights, place / "weights.safetensors")


def train_together(families: Sequence[str], data: Path, folder: Path) -> list[str]:
    """What each rank does; gives what it sees of failures, at last."""
    ranks = joined(torch.device("cpu"))
    for family in families:
        train_one(family, data, folder, ranks)
    last = ranks.count - 1
    seen = [
        seen_of(lambda: ranks.each(lambda: fail_at(ranks.rank == last))),
        seen_of(lambda: ranks.led(0, (lambda: fail_at(True)) if ranks.leads else None)),
    ]
    ranks.part()
    return seen


def fail_at(place: bool) -> tuple[float, ...]:
    if place:
        raise KeyError("fails")
    return ()


def seen_of(work: Callable[[], object]) -> str:
    """The error that is raised, by its name."""
    try:
        work()
    except (KeyError, OtherRankFailed) as error:
        return type(error).__name__
    return "nothing"
