"""Small members of small models, for every test of this room."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import families
from quantize import BundleMember, quantize_state
from records import Schema, Stream

MakeMember = Callable[..., BundleMember]
VIDEO = Schema(
    "small",
    "video",
    (Stream("rgb", 12, "float32"), Stream("audio", 5, "float32")),
    num_labels=7,
    label_names=("zero", "one", "zwei", "drei", "naïve", "“six”", "日本"),
)


@pytest.fixture
def schema() -> Schema:
    return VIDEO


@pytest.fixture
def make_member() -> MakeMember:
    """Makes a perceptron with random weights, tensors of more than 50 values at 8 bits."""

    def make(
        name: str = "one",
        weight: float = 1.0,
        seed: int = 0,
        hidden: tuple[int, ...] = (16,),
        threshold: int = 50,
        schema: Schema = VIDEO,
    ) -> BundleMember:
        torch.manual_seed(seed)
        config = {"hidden": list(hidden)}
        module = families.build("perceptron", config, schema)
        state = quantize_state(module.state_dict(), threshold)
        return BundleMember(name, "perceptron", config, weight, state)

    return make
