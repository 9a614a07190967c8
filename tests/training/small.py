"""A small training, the same in all tests of the trainer but for what they are about."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from families import FamilyModule, build
from records import Batch, Split
from tests.conftest import SMALL_FRAMES
from training.config import TrainConfig
from training.objective import HardLabels
from training.trainer import Trainer

TRAIN = TrainConfig(
    epochs=2,
    batch_size=32,
    learning_rate=1e-2,
    draw_frames=4,
    averaging_epochs=1,
    averaging_decay=0.8,
    checkpoint_seconds=0.0,
    precision="float32",
)
DBOF = {"clusters": 8, "hidden": 16, "dropout": 0.3}


class StopsAt(HardLabels):
    """Does something to its own process at one of its calls."""

    def __init__(self, call: int, error: BaseException | None = None) -> None:
        self._left = call
        self._error = error

    def __call__(self, model: FamilyModule, batch: Batch) -> tuple[Tensor, Tensor]:
        self._left -= 1
        if self._left == 0:
            if self._error is not None:
                raise self._error
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__call__(model, batch)


def same(first: dict[str, Tensor] | None, second: dict[str, Tensor] | None) -> bool:
    assert first is not None and second is not None and first.keys() == second.keys()
    return all(torch.equal(first[key], second[key]) for key in first)


def small_trainer(
    split: Split, folder: Path, config: TrainConfig, objective: HardLabels | None, **options: Any
) -> Trainer:
    """Of a freshly initialized model; `options` are further arguments of `Trainer`."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(5)
    model = build("dbof", DBOF, SMALL_FRAMES)
    objective = objective or HardLabels()
    return Trainer(
        model, objective, split, config, seed=5, folder=folder, draws_frames=True, **options
    )
