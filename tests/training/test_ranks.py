"""A training that several processes share ends where that of one process does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.training.sharing import FAMILIES, THREE, train_one, train_together
from training.launch import launch


@pytest.fixture(scope="module")
def alone(small_frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of every family as one process trains it."""
    folder = tmp_path_factory.mktemp("alone")
    for family in FAMILIES:
        train_one(family, small_frames, folder)
    return folder


# A shift before a linear map that a batch norm follows has no gradient but rounding, which Adam
# makes steps of; the batch norm takes it away again.
IDLE = {
    "dbof": ("input_norm.bias", "scores.norm.running_mean"),
    "perceptron": ("input_norms.0.bias", "input_norms.1.bias", "hidden.0.layers.1.running_mean"),
}


def differences(families: Sequence[str], one: Path, other: Path) -> dict[str, float]:
    """By family and tensor, how far weights are apart that are not close."""
    found = {}
    for family in families:
        places = (folder / family / "weights.safetensors" for folder in (one, other))
        ours, theirs = map(load_file, places)
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            apart = float((value.double() - theirs[name].double()).abs().max())
            if apart > 1e-5 and not name.endswith(IDLE.get(family, ())):
                found[f"{family}/{name}"] = apart
    return found


@pytest.mark.parametrize(
    ("ranks", "families"), [(2, FAMILIES), pytest.param(4, THREE, marks=pytest.mark.slow)]
)
def test_ranks_end_at_the_weights_of_one(
    alone: Path, small_frames: Path, tmp_path: Path, ranks: int, families: list[str]
) -> None:
    seen = launch(train_together, families, small_frames, tmp_path, ranks=ranks, threads=1)
    assert differences(families, alone, tmp_path) == {}
    # What one rank meets ends all of them, and is said by that one.
    others = ["OtherRankFailed"] * (ranks - 1)
    by_itself, by_the_leader = zip(*seen, strict=True)
    assert list(by_itself) == [*others, "KeyError"]
    assert list(by_the_leader) == ["KeyError", *others]
