"""Clipping against the definition, and what each tensor's gradient is in a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families import FamilyModule, build
from records import Batch, Split, iterate_batches
from tests.conftest import SMALL_FRAMES
from training.config import TrainConfig
from training.objective import HardLabels
from training.optimizer import clip_gradients, make_optimizer
from training.trainer import Trainer


def parameters_with_gradients() -> list[nn.Parameter]:
    """Gradients of norm 0.5, 3 and 12, and a parameter without one."""
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(*shape)) for shape in ((4,), (3, 2), (5, 1, 2), (2,))]
    for parameter, norm in zip(parameters, (0.5, 3.0, 12.0), strict=False):
        gradient = torch.randn_like(parameter)
        parameter.grad = gradient * norm / gradient.norm()
    return parameters


@pytest.mark.parametrize("max_norm", [1.0, 5.0])
def test_each_tensor_has_a_norm_of_its_own(max_norm: float) -> None:
    parameters = parameters_with_gradients()
    before = [p.grad.clone() for p in parameters if p.grad is not None]
    norm = clip_gradients(parameters, max_norm, "tensor")
    assert norm.item() == pytest.approx((0.25 + 9 + 144) ** 0.5)
    for parameter, gradient in zip(parameters, before, strict=False):
        length = sum(float(x) ** 2 for x in gradient.flatten()) ** 0.5
        expected = gradient * min(1.0, max_norm / length)
        torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-5)
    assert parameters[3].grad is None


def test_global_clipping_keeps_the_proportions() -> None:
    parameters = parameters_with_gradients()
    before = [p.grad.clone() for p in parameters if p.grad is not None]
    norm = clip_gradients(parameters, 2.0, "global")
    for parameter, gradient in zip(parameters, before, strict=False):
        torch.testing.assert_close(parameter.grad, gradient * 2.0 / norm)


class Steep(HardLabels):
    """Gradients far beyond every clip."""

    def __call__(self, model: FamilyModule, batch: Batch) -> tuple[Tensor, Tensor]:
        loss, output = super().__call__(model, batch)
        return 1e6 * loss, output


@pytest.mark.parametrize("settings", [{}, {"clip": "global"}])
def test_a_training_clips_as_it_is_told(
    settings: dict[str, Any], split: Split, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = build("perceptron", {"hidden": [8], "dropout": 0.0}, SMALL_FRAMES)
    train = TrainConfig(batch_size=32, precision="float32", **settings)
    trainer = Trainer(model, Steep(), split, train, seed=0, folder=tmp_path, draws_frames=False)
    _, norm = trainer.step(next(iterate_batches(split, 32)).to(torch.device("cpu")))
    norms = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None])
    assert norm > 1e3
    expected = norms.norm() if settings else norms
    torch.testing.assert_close(expected, torch.ones_like(expected), atol=1e-4, rtol=0)


def test_weight_decay_spares_vectors() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = make_optimizer(model, TrainConfig(optimizer="adamw", weight_decay=0.1))
    decayed = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert {name: decayed[id(p)] for name, p in model.named_parameters()} == {
        "0.weight": 0.1,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
    }
