"""The quasi-recurrent net against a loop over clips and frames; its recurrence and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from families.layers.fo_pooling import FOPooling, scan_
from families.qrnn import QRNN, QRNNConfig, QRNNLayer
from records.schema import Schema

LENGTHS = [8, 5, 3, 1, 0]


def loop_layer(layer: QRNNLayer, frames: list[Tensor]) -> list[Tensor]:
    """Outputs of one clip, frame by frame: Bradbury et al. 2016, equations 1 to 3."""
    hidden = layer.hidden
    c = torch.zeros(hidden)
    outputs = []
    for t in range(len(frames)):
        before = [torch.zeros_like(frames[0])] * (layer.width - 1)
        window = torch.cat([*before, *frames][t : t + layer.width])
        scores = layer.gates.weight @ window + layer.gates.bias
        z = scores[:hidden].tanh()
        f, o = scores[hidden:].sigmoid().split(hidden)
        c = f * c + (1 - f) * z
        outputs.append(o * c)
    return outputs


def loop_net(model: Any, clip: Tensor) -> Tensor:
    """The last level's last outputs of one clip."""
    frames = list(clip)
    for level in [*model.below, model.top]:
        ahead = loop_layer(level.ahead, frames)
        if level.back is None:
            frames, last = ahead, ahead[-1]
            continue
        back = loop_layer(level.back, frames[::-1])[::-1]
        frames = [torch.cat(pair) for pair in zip(ahead, back, strict=True)]
        last = torch.cat([ahead[-1], back[0]])
    return last


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@torch.no_grad()
def test_it_is_the_loop(
    schema: Schema, features: Any, mask: Tensor, width: int, layers: int, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    config = QRNNConfig(hidden=5, width=width, layers=layers, bidirectional=bidirectional)
    model: Any = QRNN(config, schema).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("gates.bias"):
            parameter.normal_()
    joined = torch.cat([features["image"], features["sound"]], dim=2)
    noise = {name: torch.where(mask[..., None], x, 7.0) for name, x in features.items()}
    log_odds = model(noise, mask)
    size = 10 if bidirectional else 5
    for row, length in enumerate(LENGTHS):
        outputs = loop_net(model, joined[row, :length]) if length else torch.zeros(size)
        expected = model.classifier(outputs[None])[0]
        torch.testing.assert_close(log_odds[row], expected, atol=1e-6, rtol=1e-5)


def test_pooling_by_hand() -> None:
    # Of two frames, z = 0.5 and -0.5; f = 0.25 and 0.75.
    z, f = torch.tensor([0.5, -0.5]), torch.tensor([0.25, 0.75])
    scores = torch.stack([z.atanh(), f.logit()], dim=1)[:, None]
    states = FOPooling.apply(scores, None, 1)
    torch.testing.assert_close(states.flatten(), torch.tensor([0.375, 0.15625]))
    gated = torch.cat([scores, torch.tensor([0.5, 0.2]).logit()[:, None, None]], dim=2)
    outputs = FOPooling.apply(gated, None, 1)
    torch.testing.assert_close(outputs.flatten(), torch.tensor([0.1875, 0.03125]))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("hidden", [2, 3])
def test_gradient_of_the_pooling(masked: bool, hidden: int) -> None:
    # Six scores are z, f, o of two units, or z, f of three.
    torch.manual_seed(0)
    scores = torch.randn(5, 4, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.arange(5)[:, None] < torch.tensor([5, 3, 1, 0]) if masked else None
    assert torch.autograd.gradcheck(lambda s: FOPooling.apply(s, mask, hidden), (scores,))


@pytest.mark.parametrize("backwards", [False, True])
def test_padding_hands_the_state_on_and_gets_no_gradient(backwards: bool) -> None:
    torch.manual_seed(0)
    scores = torch.randn(6, 3, 4, requires_grad=True)
    mask = torch.arange(6)[:, None] < torch.tensor([6, 2, 0])
    mask = mask.flip(0) if backwards else mask
    states = FOPooling.apply(scores, mask, 2)
    for clip in range(3):
        alone = FOPooling.apply(scores[mask[:, clip], clip : clip + 1], None, 2)
        expected = alone[-1, 0] if len(alone) else torch.zeros(2)
        torch.testing.assert_close(states[-1, clip], expected)
    states.square().sum().backward()
    assert scores.grad is not None
    assert not scores.grad[~mask].any()
    assert scores.grad[mask].all()


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 16, 23])
@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_scan_is_the_recurrence(frames: int, blocked: bool, reverse: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(frames, 3, 2, dtype=torch.float64)
    decay = torch.rand(frames, 3, 2, dtype=torch.float64)
    decay[0, 0], decay[-1, 1] = 0.0, 1.0
    expected, state = torch.empty_like(x), torch.zeros(3, 2, dtype=torch.float64)
    for t in reversed(range(frames)) if reverse else range(frames):
        state = decay[t] * state + x[t]
        expected[t] = state
    scan_(x, decay, reverse=reverse, blocked=blocked)
    torch.testing.assert_close(x, expected)


def test_it_starts_by_remembering() -> None:
    layer = QRNNLayer(5, 4, 2)
    assert layer.gates.bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 4
