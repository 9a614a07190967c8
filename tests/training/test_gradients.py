"""A gradient that is computed piece by piece is that of the whole batch."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from families import build, registry
from families.layers.batch_norm import MaskedBatchNorm
from records import Split, iterate_batches
from tests.families.flavors import FLAVORS
from tests.training.sharing import FAMILIES, SCHEMA, TRAIN
from training.gradients import Gradients
from training.objective import HardLabels
from training.ranks import ALONE


def without_norm(family: str, config: dict[str, Any]) -> dict[str, Any]:
    """The configuration, its inputs not standardized where that can be said."""
    named = {field.name for field in fields(registry.get(family).config)}
    return {**config, "input_norm": "none"} if "input_norm" in named else config


CONFIGS = [
    (family, config)
    for family in FAMILIES
    for config in (without_norm(family, flavor) for flavor in FLAVORS[family])
    if not any(
        isinstance(layer, MaskedBatchNorm) for layer in build(family, config, SCHEMA).modules()
    )
]


def gradients(
    family: str, config: dict[str, Any], split: Split, micro: int | None
) -> dict[str, Tensor]:
    """Of the first 23 clips, the loss among them, and the next random number that is drawn."""
    torch.manual_seed(3)
    model = build(family, config, SCHEMA).train()
    train = replace(TRAIN, micro_batch=micro)
    loss = Gradients(model, HardLabels(), train, ALONE).compute(next(iterate_batches(split, 23)))
    grads = {name: value.grad for name, value in model.named_parameters()}
    found = {name: grad for name, grad in grads.items() if grad is not None}
    assert found.keys() == grads.keys()
    return {**found, "the loss": loss, "the next draw": torch.rand(())}


@pytest.mark.parametrize(("family", "config"), CONFIGS)
def test_micro_batches_have_the_gradient_of_the_batch(
    family: str, config: dict[str, Any], split: Split
) -> None:
    whole = gradients(family, config, split, None)
    for micro in (23, 10, 1):
        pieces = gradients(family, config, split, micro)
        for name, value in whole.items():
            torch.testing.assert_close(pieces[name], value, rtol=1e-4, atol=1e-6)


def test_micro_batches_leave_out_what_is_unknown_of_their_own_clips(split: Split) -> None:
    batch = next(iterate_batches(split, 23))
    generator = torch.Generator().manual_seed(5)
    unknown = torch.rand(23, SCHEMA.num_labels, generator=generator) < 0.4
    unknown[batch.labels[:, 0], batch.labels[:, 1]] = False
    found = []
    config = without_norm("logistic", FLAVORS["logistic"][0])
    for micro in (None, 10):
        torch.manual_seed(3)
        model = build("logistic", config, SCHEMA).train()
        train = replace(TRAIN, micro_batch=micro)
        computed = Gradients(model, HardLabels(), train, ALONE)
        loss = computed.compute(replace(batch, unknown=unknown))
        found.append([loss, *(parameter.grad for parameter in model.parameters())])
    for whole, pieces in zip(*found, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-6)


def test_half_of_the_families_can_do_without_batch_norm() -> None:
    """Dropout, codes that are drawn, losses with parameters and several outputs are among them."""
    assert {"snr_trans", "shared_bottom", "mmoe", "chain"} <= {family for family, _ in CONFIGS}
