"""The perceptron at both levels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import families
from families.perceptron import Perceptron, PerceptronConfig
from records.schema import Schema

CONFIGS = [
    PerceptronConfig(hidden=(8,)),
    PerceptronConfig(hidden=(8, 8), residual=True, norm="batch", input_norm="length"),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_frames_are_their_mean(
    config: PerceptronConfig,
    schema: Schema,
    video_schema: Schema,
    features: dict[str, Tensor],
    mask: Tensor,
) -> None:
    torch.manual_seed(0)
    frame_level = Perceptron(config, schema).eval()
    video_level = Perceptron(config, video_schema).eval()
    video_level.load_state_dict(frame_level.state_dict())
    lengths = mask.sum(dim=1, keepdim=True).clamp(min=1)
    means = {name: x.sum(dim=1) / lengths for name, x in features.items()}
    torch.testing.assert_close(frame_level(features, mask), video_level(means))


def test_it_trains_on_means(video_schema: Schema) -> None:
    model: Any = families.build("perceptron", {"hidden": [8], "dropout": 0.0}, video_schema).train()
    means = {"sound": torch.randn(3, 6), "image": torch.randn(3, 10)}
    model(means).sum().backward()
    assert model.hidden[0].layers[0].weight.grad.any()


def test_residual_needs_equal_sizes(schema: Schema) -> None:
    model: Any = Perceptron(PerceptronConfig(hidden=(8, 8, 4), residual=True), schema)
    assert [layer.residual for layer in model.hidden] == [False, True, False]


def test_unit_length_makes_the_scale_of_a_stream_irrelevant(
    schema: Schema, features: dict[str, Tensor]
) -> None:
    model: Any = Perceptron(PerceptronConfig(hidden=(8,), input_norm="length"), schema).eval()
    louder = {**features, "sound": 3 * features["sound"]}
    torch.testing.assert_close(model(louder)[:4], model(features)[:4], atol=1e-5, rtol=1e-5)


def test_a_decoder_widens_each_stream_before_they_are_joined(
    video_schema: Schema,
) -> None:
    torch.manual_seed(0)
    config = PerceptronConfig(decoder=(12, 20), hidden=(9,), input_norm="none")
    model: Any = Perceptron(config, video_schema).eval()
    shapes = [[layer.layers[0].weight.shape for layer in decoder] for decoder in model.decoders]
    assert shapes == [[(12, 10), (20, 12)], [(12, 6), (20, 12)]]
    means = {"sound": torch.randn(3, 6), "image": torch.randn(3, 10)}
    decoded = []
    for name, decoder in zip(("image", "sound"), model.decoders, strict=True):
        x = means[name]
        for layer in decoder:
            x = (x @ layer.layers[0].weight.T + layer.layers[0].bias).clamp(min=0)
        decoded.append(x)
    torch.testing.assert_close(model(means), model.classifier(model.hidden(torch.cat(decoded, 1))))


def test_without_a_decoder_there_are_no_names_of_it(schema: Schema) -> None:
    names = Perceptron(PerceptronConfig(hidden=(8,)), schema).state_dict()
    assert {name.split(".")[0] for name in names} == {"input_norms", "hidden", "classifier"}
