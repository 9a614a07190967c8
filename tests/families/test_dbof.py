"""The bags of frames against plain formulas, clip by clip."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from families import MaskedBatchNorm
from families.dbof import DBoF, DBoFConfig, GatedBag, OriginalBag, SoftBag
from records.schema import Schema

LENGTHS = [7, 3, 1]


@pytest.fixture
def mask() -> Tensor:
    return torch.arange(7)[None] < torch.tensor(LENGTHS)[:, None]


Module = TypeVar("Module", bound=nn.Module)


def randomized(module: Module) -> Module:
    """The module in evaluation, with batch norms that do something."""
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, MaskedBatchNorm):
                for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                    tensor.uniform_(0.5, 1.5)
    return module.eval()


def plain_norm(norm: MaskedBatchNorm, x: Tensor) -> Tensor:
    return functional.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-3
    )


def plain_shares(bag: SoftBag, clip: Tensor) -> Tensor:
    scores = bag.assignment.scores
    logits = plain_norm(bag.input_norm, clip) @ scores.weight.T
    return torch.softmax(plain_norm(scores.norm, logits), dim=1)


@torch.no_grad()
def test_soft_bag_sums_assignments(mask: Tensor) -> None:
    torch.manual_seed(0)
    bag = randomized(SoftBag(6, 9))
    x = torch.randn(3, 7, 6)
    for row, length in enumerate(LENGTHS):
        total = plain_shares(bag, x[row, :length]).sum(dim=0)
        torch.testing.assert_close(bag(x, mask)[row], total / total.norm())


@torch.no_grad()
def test_gated_bag_gates_the_sum_by_the_maximum(mask: Tensor) -> None:
    torch.manual_seed(0)
    bag = randomized(GatedBag(6, 9, bottleneck=4))
    assert bag.squeeze.weight.shape == (4, 9)
    x = torch.randn(3, 7, 6)
    for row, length in enumerate(LENGTHS):
        shares = plain_shares(bag, x[row, :length])
        largest = shares.amax(dim=0)
        largest = largest / largest.norm()
        squeezed = bag.squeeze.weight @ largest
        gates = torch.sigmoid(plain_norm(bag.gate_norm, (bag.expand.weight @ squeezed)[None])[0])
        gated = shares.sum(dim=0) * gates
        torch.testing.assert_close(bag(x, mask)[row], gated / gated.norm())


@pytest.mark.parametrize("pooling", ["max", "mean"])
@torch.no_grad()
def test_original_bag_maps_the_joined_streams(pooling: str, mask: Tensor) -> None:
    torch.manual_seed(0)
    bag = randomized(OriginalBag([6, 3], 9, pooling))
    frames = [torch.randn(3, 7, 6), torch.randn(3, 7, 3)]
    maps: Any = bag.maps
    weight = torch.cat([linear.weight for linear in maps], dim=1)
    for row, length in enumerate(LENGTHS):
        clips = [x[row, :length] for x in frames]
        joined = torch.cat(
            [plain_norm(m.norm, clip) for m, clip in zip(maps, clips, strict=True)], dim=1
        )
        activation = plain_norm(bag.norm, joined @ weight.T).clamp(0, 6)
        pooled = activation.amax(dim=0) if pooling == "max" else activation.mean(dim=0)
        torch.testing.assert_close(bag(frames, mask)[row], pooled, atol=1e-5, rtol=1e-5)


def test_only_the_widest_stream_is_gated(schema: Schema) -> None:
    model: Any = DBoF(DBoFConfig(clusters=32, clusters_divisor=8, hidden=5), schema)
    image, sound = model.bags
    assert isinstance(image, GatedBag) and image.squeeze.weight.shape == (10, 32)
    assert not isinstance(sound, GatedBag)
    assert sound.assignment.scores.weight.shape == (4, 6)
    assert model.hidden.weight.shape == (5, 36)
