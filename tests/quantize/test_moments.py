"""What layers are given, against every product that is computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from families import build
from quantize.moments import drawn, input_moments
from records import Schema, Split, SplitSpec, iterate_batches, open_split, read_truth
from tests.conftest import SMALL_FRAMES, SMALL_MEANS

CPU = torch.device("cpu")


def train_split(root: Path, schema: Schema) -> Split:
    return open_split(root, "train", SplitSpec("train-*.tfrecord"), schema, cache=None)


@pytest.fixture(params=["netvlad", "perceptron"])
def split(request: pytest.FixtureRequest) -> Split:
    """Of clips of several lengths for the one, of means for the other."""
    if request.param == "netvlad":
        return train_split(request.getfixturevalue("small_frames"), SMALL_FRAMES)
    return train_split(request.getfixturevalue("small_means"), SMALL_MEANS)


@pytest.mark.parametrize("split", ["netvlad", "perceptron"], indirect=True)
@torch.no_grad()
def test_moments_are_those_of_every_product(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = split.schema.level == "frame"
    family, config = ("netvlad", {"clusters": 4}) if frames else ("perceptron", {"hidden": [6, 6]})
    model = build(family, config, split.schema).eval()
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    found = input_moments(model, split, 7, set(names.values()))
    expected: dict[str, Tensor] = {}
    plain = functional.linear

    def watched(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).double()
        # Of what is made of weights, such as one folded with a norm, no layer is called.
        if name := names.get(id(weight)):
            expected[name] = expected.get(name, torch.zeros(())) + rows.T @ rows
        return plain(x, weight, bias)

    monkeypatch.setattr(functional, "linear", watched)
    for batch in iterate_batches(split, 1):
        batch = batch.to(CPU)
        model(batch.features, batch.mask)
    assert found.keys() == expected.keys() and len(found) >= 2
    for name, moments in found.items():
        torch.testing.assert_close(moments, expected[name], rtol=1e-4, atol=1e-4)


def test_clips_are_few_and_always_the_same(small_means: Path) -> None:
    split = train_split(small_means, SMALL_MEANS)
    ids = [str(name) for name in read_truth(drawn(split, 50)).ids]
    assert len(set(ids)) == 50 and ids == read_truth(drawn(split, 50)).ids.tolist()
    assert {name.split("-")[0] for name in ids} == {"clip0"}
    assert len(drawn(split, 161)) == len(split) == 160


def test_other_layers_have_no_moments(small_means: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = train_split(small_means, SMALL_MEANS)
    model = build("perceptron", {"hidden": [6], "input_norm": "none"}, SMALL_MEANS)
    weight = "hidden.0.layers.0.weight"
    assert input_moments(model, split, 16, {weight}).keys() == {weight}
    assert input_moments(model, split, 16, {"hidden.0.layers.0.bias", "no.weight"}) == {}
    monkeypatch.setattr("quantize.moments.MOST_INPUTS", 15)
    assert input_moments(model, split, 16, {weight}) == {}


def test_a_layer_of_infinite_inputs_is_left_out(small_means: Path) -> None:
    split = train_split(small_means, SMALL_MEANS)
    model = build("perceptron", {"hidden": [6]}, SMALL_MEANS)
    first, *_ = (m for m in model.modules() if isinstance(m, nn.Linear))
    nn.init.constant_(first.weight, 3e38)
    names = {name for name, _ in model.named_parameters()}
    assert input_moments(model, split, 16, names).keys() == {"hidden.0.layers.0.weight"}
