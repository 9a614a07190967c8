"""What single tensors cost, against models that have one tensor changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from families import build
from quantize import dequantize, quantize
from quantize.moments import drawn, input_moments
from quantize.sensitivity import tensor_losses
from records import SplitSpec, iterate_batches, open_split
from tests.conftest import SMALL_MEANS


@torch.no_grad()
def test_losses_are_those_of_models_with_one_tensor_changed(small_means: Path) -> None:
    torch.manual_seed(0)
    spec = SplitSpec("train-*.tfrecord")
    split = open_split(small_means, "train", spec, SMALL_MEANS, cache=None)
    config = {"hidden": [8], "input_norm": "none", "head": {"kind": "logistic"}}
    model = build("perceptron", config, SMALL_MEANS).eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = ["hidden.0.layers.0.weight", "classifier.head.classifier.linear.weight"]
    # The middle one is measured, and the others are small enough for the square to hold.
    precisions = ["uniform8", "uniform5", "kmeans4"]
    codes = {(n, p): quantize(state[n], n, p) for n in names for p in precisions}
    moments = input_moments(model, split, 16, {names[0]})
    found = tensor_losses(model, split, 16, codes, moments)
    assert found.keys() == codes.keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])

    def probabilities() -> torch.Tensor:
        (batch,) = iterate_batches(drawn(split, 128), 128)
        return torch.sigmoid(model(batch.features).double())

    true = probabilities()
    for (name, precision), loss in found.items():
        model.load_state_dict({**state, name: dequantize(codes[name, precision])})
        moved = probabilities()
        by_label = true * (true / moved).log() + (1 - true) * ((1 - true) / (1 - moved)).log()
        exact = precision == "uniform5"
        # Otherwise it is the error of all clips that says by how much, and not of each label.
        expected = float(by_label.sum(1).mean())
        assert loss == pytest.approx(expected, rel=1e-3 if exact else 0.6), (name, precision)
