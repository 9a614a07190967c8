"""Tasks from verticals, towers, the order of the labels, the weighing of the losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import families
from families import FamilyError
from families.layers.towers import MultiTaskConfig, Towers, UncertaintyWeights, tasks_of
from records.schema import Schema
from tests.families.tower_loops import TASKS, filled, hidden, joined, log_odds


def test_a_label_belongs_to_its_first_vertical(schema: Schema) -> None:
    assert tasks_of(schema) == TASKS


def test_no_tower_for_labels_without_where_there_are_none(schema: Schema) -> None:
    full = replace(schema, label_verticals=((0,), (2,), (2,), (2, 0), (0,), (2,), (1, 2)))
    assert tasks_of(full) == ((0, 4), (6,), (1, 2, 3, 5))


@pytest.mark.parametrize("name", ["shared_bottom", "omoe", "mmoe", "snr_trans", "cgc", "ple"])
def test_without_verticals_the_message_says_what_to_give(name: str, video_schema: Schema) -> None:
    with pytest.raises(FamilyError, match=r"data\.vocabulary=.*Vertical1.*schema's file") as error:
        families.build(name, {}, video_schema)
    assert "\n" not in str(error.value)


def test_labels_come_out_in_their_order() -> None:
    towers: Any = Towers(TASKS, 4, MultiTaskConfig(tower_hidden=(3,))).eval()
    with torch.no_grad():
        for labels, classifier in zip(TASKS, towers.classifiers, strict=True):
            linear = classifier.head.classifier.linear
            linear.weight.zero_()
            linear.bias.copy_(torch.tensor(labels, dtype=torch.float32))
    assert torch.equal(towers(torch.randn(3, 2, 4)), torch.arange(7.0).expand(2, -1))


@pytest.mark.parametrize("shared", [[], [6], [6, 5]])
@pytest.mark.parametrize("of_tower", [[], [4], [4, 3]])
def test_shared_bottom_is_the_loop(
    schema: Schema,
    features: dict[str, Tensor],
    mask: Tensor,
    shared: list[int],
    of_tower: list[int],
) -> None:
    model = filled("shared_bottom", {"hidden": shared, "tower_hidden": of_tower}, schema)
    expected = []
    for x in joined(features, mask):
        for layer in model.hidden:
            x = hidden(layer, 0, x)
        expected.append(log_odds(model, [x, x, x]))
    torch.testing.assert_close(model(features, mask), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_even_weights_are_the_sum(schema: Schema) -> None:
    losses = torch.rand(7)
    assert torch.equal(families.build("mmoe", {}, schema).total_loss(losses), losses.sum())


def test_uncertainty_by_hand() -> None:
    weights = UncertaintyWeights(TASKS)
    with torch.no_grad():
        weights.log_variances.copy_(torch.tensor([0.0, 2.0, -1.0]))
    losses = torch.tensor([1.0, 2.0, 0.5, 4.0, 3.0, 1.0, 0.25])
    # 1 * (1 + 3) + 0.135335 * (2 + 4 + 1) + 2.718282 * (0.5 + 0.25) + (0 + 2 - 1) / 2
    assert weights(losses).item() == pytest.approx(4 + 0.947347 + 2.038711 + 0.5, abs=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert weights(losses).item() == pytest.approx(7.486058, abs=1e-5)


def test_learned_weights_make_all_tasks_count_the_same() -> None:
    weights = UncertaintyWeights(TASKS)
    losses = torch.tensor([0.01, 9.0, 0.2, 2.0, 0.01, 1.0, 0.1])
    optimizer = torch.optim.SGD(weights.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        weights(losses).backward()
        optimizer.step()
    of_task = torch.tensor([0.02, 12.0, 0.3])
    torch.testing.assert_close(
        torch.exp(-weights.log_variances) * of_task, torch.full((3,), 0.5), atol=1e-4, rtol=0
    )


def test_uncertainty_is_what_training_minimizes(schema: Schema) -> None:
    model = families.build("mmoe", {"task_weights": "uncertainty"}, schema)
    losses = torch.rand(7)
    assert model.total_loss(losses).item() == pytest.approx(losses.sum().item())
    with torch.no_grad():
        dict(model.named_parameters())["task_weights.log_variances"][0] = 1.0
    expected = losses.sum() - (1 - torch.e**-1) * (losses[0] + losses[4]) + 0.5
    assert model.total_loss(losses).item() == pytest.approx(expected.item())


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(FamilyError, match=r"mmoe\.tower_hidden\[0\]: must be at least 1, not 0"):
        families.config_from_dict("mmoe", {"tower_hidden": [0]})
    with pytest.raises(FamilyError, match=r"shared_bottom\.hidden\[0\]: must be at least 1, not 0"):
        families.config_from_dict("shared_bottom", {"hidden": [0]})
