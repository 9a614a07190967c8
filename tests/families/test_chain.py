"""The chain's stages: what they see, and what their losses weigh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import families
from families import FamilyError, HeadConfig
from families.chain import Chain, ChainConfig
from records import Batch
from records.schema import Schema
from tests.conftest import dense_labels
from training.objective import cross_entropy, loss_of

CONFIG = ChainConfig(
    stages=3, projection=4, auxiliary_weight=0.25, input_norm="none", head=HeadConfig("logistic")
)


@pytest.fixture
def model(schema: Schema) -> Any:
    torch.manual_seed(0)
    return Chain(CONFIG, schema).eval()


def linear_of(stage: Any) -> Any:
    return stage.classifier.head.classifier.linear


def test_a_stage_sees_the_features_beside_the_projected_scores(
    model: Any, features: dict[str, Tensor]
) -> None:
    x = torch.cat([features["image"][0].mean(dim=0), features["sound"][0].mean(dim=0)])
    first = linear_of(model.first)
    scores = [first.weight @ x + first.bias]
    for stage, projection in zip(model.later, model.projections, strict=True):
        linear = projection.linear
        projected = (linear.weight @ torch.sigmoid(scores[-1]) + linear.bias).clamp(min=0)
        head = linear_of(stage)
        seen = torch.cat([x, projected / projected.norm()])
        scores.append(head.weight @ seen + head.bias)
    for given, expected in zip(model.stage_scores(features, None), scores, strict=True):
        torch.testing.assert_close(given[0], expected)


def test_the_last_stage_follows_the_first_ones_scores(
    model: Any, features: dict[str, Tensor], mask: Tensor
) -> None:
    before = model(features, mask)
    with torch.no_grad():
        linear_of(model.first).bias.copy_(torch.linspace(-3, 3, 7))
    assert not torch.allclose(model(features, mask), before)


def test_earlier_stages_losses_count_with_their_weight(
    model: Any, features: dict[str, Tensor], mask: Tensor
) -> None:
    outputs = model.training_outputs(features, mask)
    assert [weight for weight, _ in outputs] == [0.25, 0.25, 1.0]
    assert torch.equal(outputs[-1][1], model(features, mask))
    labels = torch.tensor([[0, 1], [2, 5], [3, 6]])
    rows, columns = labels.unbind(dim=1)
    batch = Batch(list("abcde"), features, mask, labels, 7, -2.0, 2.0)
    loss, scores = loss_of(model, batch, lambda z: cross_entropy(z, rows, columns, torch.ones(3)))
    dense = dense_labels(batch)
    expected = sum(
        weight * torch.nn.functional.binary_cross_entropy_with_logits(z, dense, reduction="sum") / 5
        for weight, z in outputs
    )
    torch.testing.assert_close(loss, expected)
    assert torch.equal(scores, outputs[-1][1])


def test_the_last_stages_loss_teaches_the_first(model: Any, features: dict[str, Tensor]) -> None:
    model(features, None).sum().backward()
    assert linear_of(model.first).weight.grad.any()


def test_hidden_layers_and_moments_change_what_a_head_sees(schema: Schema) -> None:
    model: Any = Chain(replace(CONFIG, pooling="moments"), schema)
    sizes = [linear_of(stage).in_features for stage in (model.first, *model.later)]
    assert sizes == [7 * 16, 7 * 16 + 4, 7 * 16 + 4]
    model = Chain(replace(CONFIG, hidden=9), schema)
    assert [linear_of(stage).in_features for stage in (model.first, *model.later)] == [9, 9, 9]


def test_one_stage_is_no_chain() -> None:
    with pytest.raises(FamilyError, match=r"chain\.stages: must be at least 2, not 1"):
        families.config_from_dict("chain", {"stages": 1})
