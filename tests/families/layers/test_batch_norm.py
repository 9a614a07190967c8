"""Masked batch norm against torch's own on the packed real frames."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from families import MaskedBatchNorm


def pair(size: int, momentum: float | None = None) -> tuple[MaskedBatchNorm, nn.BatchNorm1d]:
    """Ours and torch's with equal, random parameters; torch's cumulative mean by default."""
    torch.manual_seed(0)
    ours = MaskedBatchNorm(size, momentum=1e-9)
    theirs = nn.BatchNorm1d(size, eps=1e-3, momentum=momentum)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    with torch.no_grad():
        theirs.weight.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)
    return ours, theirs


@pytest.mark.parametrize("masked", [True, False])
def test_training_equals_torch_on_packed_frames(masked: bool, mask: Tensor) -> None:
    ours, theirs = pair(4)
    given = mask if masked else None
    real = mask if masked else torch.ones_like(mask)
    for _ in range(3):
        x = 2 * torch.randn(*mask.shape, 4) + 1
        mine, reference = x.clone().requires_grad_(), x[real].requires_grad_()
        weights = torch.randn(*mask.shape, 4)
        out, expected = ours(mine, given), theirs(reference)
        torch.testing.assert_close(out[real], expected, atol=1e-5, rtol=1e-5)
        (out * weights)[real].sum().backward()
        (expected * weights[real]).sum().backward()
        assert mine.grad is not None and reference.grad is not None
        torch.testing.assert_close(mine.grad[real], reference.grad, atol=1e-5, rtol=1e-4)
        assert not mine.grad[~real].any()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running_var, theirs.running_var, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad, atol=1e-4, rtol=1e-4)
    x = torch.randn(5, 4)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_affine_is_forward_in_two_numbers(training: bool, masked: bool, mask: Tensor) -> None:
    (ours, _), (twin, _) = pair(4), pair(4)
    given = mask if masked else None
    real = mask if masked else torch.ones_like(mask)
    x = 2 * torch.randn(*mask.shape, 4) + 1
    scale, shift = ours.train(training).affine(x, given)
    expected = twin.train(training)(x, given)
    torch.testing.assert_close((x * scale + shift)[real], expected[real], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        dict(ours.named_buffers()), dict(twin.named_buffers()), atol=1e-5, rtol=1e-5
    )


def test_momentum_falls_to_its_floor() -> None:
    norm = MaskedBatchNorm(1, momentum=0.25).train()
    means = [1.0, 2.0, 6.0, 3.0, 10.0, 4.0]
    expected = 0.0
    for count, mean in enumerate(means, start=1):
        norm(torch.tensor([[mean - 1], [mean + 1]]))
        expected += max(1 / count, 0.25) * (mean - expected)
    assert norm.running_mean.item() == pytest.approx(expected)
    assert norm.updates.item() == len(means)


@pytest.mark.parametrize("frames", [0, 1])
def test_too_few_frames_fall_back_on_the_running_averages(frames: int) -> None:
    norm, _ = pair(3)
    norm.train()(torch.randn(20, 3))
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    x = torch.randn(1, 4, 3)
    mask = torch.arange(4)[None] < frames
    out = norm(x, mask)
    torch.testing.assert_close(dict(norm.named_buffers()), before, atol=0, rtol=0)
    torch.testing.assert_close(norm(x[:, :1]), norm.eval()(x[:, :1]))
    torch.testing.assert_close(out, norm(x))


def test_statistics_are_float32_under_autocast(mask: Tensor) -> None:
    x = torch.randn(*mask.shape, 4) + 100
    precise, half = MaskedBatchNorm(4).train(), MaskedBatchNorm(4).train()
    precise.affine(x, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half.affine(x, mask)
    torch.testing.assert_close(precise.running_mean, half.running_mean)
    torch.testing.assert_close(precise.running_var, half.running_var)
