"""A checkpoint is as it was written, or counts as none."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from families import build
from tests.conftest import SMALL_FRAMES
from training.averaging import WeightAverage
from training.checkpoint import DamagedCheckpoint, TrainingState, load_checkpoint, save_checkpoint

FLIPS = 300


def fresh() -> TrainingState:
    torch.manual_seed(1)
    model = build("dbof", {"clusters": 8, "hidden": 16}, SMALL_FRAMES)
    return TrainingState(model, torch.optim.Adam(model.parameters()))


def trained() -> TrainingState:
    state = fresh()
    for parameter in state.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state.optimizer.step()
    state.progress.step = 7
    state.main = {name: 2 * value for name, value in state.model.state_dict().items()}
    state.average = WeightAverage(state.model, 0.5)
    return state


def tensors(state: TrainingState) -> list[Tensor]:
    assert state.main is not None and state.average is not None
    optimizer = state.optimizer.state_dict()["state"]
    moments = [value for _, own in sorted(optimizer.items()) for _, value in sorted(own.items())]
    groups = (state.model.state_dict(), state.main, state.average.state_dict())
    return [value for group in groups for _, value in sorted(group.items())] + moments


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "checkpoint", trained())
    return tmp_path / "checkpoint"


def test_all_that_a_training_depends_on_comes_back(path: Path) -> None:
    random_state = torch.get_rng_state()
    state = fresh()
    assert load_checkpoint(path, state, 0.5)
    assert state.progress.step == 7
    pairs = zip(tensors(state), tensors(trained()), strict=True)
    assert all(torch.equal(loaded, saved) for loaded, saved in pairs)
    load_checkpoint(path, fresh(), 0.5)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_there_may_be_none(tmp_path: Path) -> None:
    assert not load_checkpoint(tmp_path / "checkpoint", fresh(), 0.5)


@pytest.mark.parametrize("part", ["header", "all"])
def test_every_flipped_bit_is_noticed(path: Path, part: str) -> None:
    whole, generator, state = path.read_bytes(), random.Random(part), fresh()
    end = 8 + int.from_bytes(whole[:8], "little") if part == "header" else len(whole)
    for _ in range(FLIPS):
        flipped, place = bytearray(whole), generator.randrange(end)
        flipped[place] ^= 1 << generator.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedCheckpoint):
            load_checkpoint(path, state, 0.5)
    assert state.progress.step == 0 and state.average is None and state.main is None


@pytest.mark.parametrize("left", [0, 7, 8, 300, -1])
def test_a_cut_file_is_noticed(path: Path, left: int) -> None:
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path, fresh(), 0.5)
