"""Shared and private experts against loops; what reaches whom."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from records.schema import Schema
from tests.families.tower_loops import TASKS, changed, experts, filled, joined, log_odds, mixed

CONFIG = {"experts_shared": 2, "experts_private": 3, "expert_units": 5, "tower_hidden": [4]}


def loop(model: Any, x: Tensor) -> list[Tensor]:
    """Every task's representation of one clip."""
    own, common = [x] * 3, x
    for depth, layer in enumerate(model.layers, start=1):
        shared = experts(layer.shared, 0, common)
        private = [experts(layer.private, task, own[task]) for task in range(3)]
        after = [
            mixed(layer.gates.weight[task], own[task], shared + private[task]) for task in range(3)
        ]
        if depth < len(model.layers):
            everyone = shared + private[0] + private[1] + private[2]
            common = mixed(layer.shared_gate.weight[0], common, everyone)
        own = after
    return own


@pytest.mark.parametrize(("name", "layers"), [("cgc", 1), ("ple", 1), ("ple", 2), ("ple", 3)])
def test_extraction_is_the_loop(
    name: str, layers: int, schema: Schema, features: dict[str, Tensor], mask: Tensor
) -> None:
    config = CONFIG if name == "cgc" else {**CONFIG, "layers": layers}
    model = filled(name, config, schema)
    assert len(model.layers) == layers
    expected = [log_odds(model, loop(model, x)) for x in joined(features, mask)]
    torch.testing.assert_close(model(features, mask), torch.stack(expected), atol=1e-5, rtol=1e-5)


def redrawn(experts: Any, task: int) -> None:
    experts.hidden[0].weight[task].normal_()


@pytest.mark.parametrize("task", [0, 1, 2])
def test_a_private_expert_serves_its_task_alone(
    schema: Schema, features: dict[str, Tensor], mask: Tensor, task: int
) -> None:
    for name in ("cgc", "ple"):
        model = filled(name, CONFIG, schema)
        before = model(features, mask)
        redrawn(model.layers[-1].private, task)
        assert changed(before, model(features, mask)) == set(TASKS[task])


def test_a_shared_expert_serves_all(
    schema: Schema, features: dict[str, Tensor], mask: Tensor
) -> None:
    model = filled("cgc", CONFIG, schema)
    before = model(features, mask)
    redrawn(model.layers[0].shared, 0)
    assert changed(before, model(features, mask)) == set(range(7))


def test_a_lower_private_expert_reaches_others_through_the_shared_part_only(schema: Schema) -> None:
    model = filled("ple", CONFIG, schema)
    layer, x = model.layers[0], torch.randn(1, 4, 16)
    own, common = layer(x, x)
    redrawn(layer.private, 1)
    own_after, common_after = layer(x, x)
    assert torch.equal(own[[0, 2]], own_after[[0, 2]])
    assert (own[1] != own_after[1]).any()
    assert (common != common_after).any()


def test_only_the_last_layer_has_no_shared_gate(schema: Schema) -> None:
    assert [layer.shared_gate is None for layer in filled("cgc", CONFIG, schema).layers] == [True]
    model = filled("ple", {**CONFIG, "layers": 3}, schema)
    assert [layer.shared_gate is None for layer in model.layers] == [False, False, True]
    assert model.layers[0].shared_gate.weight.shape == (1, 16, 2 + 3 * 3)
    assert model.layers[0].gates.weight.shape == (3, 16, 2 + 3)
