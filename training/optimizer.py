"""From gradients to a step: how they are clipped, and who takes it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from training.config import Clip, TrainConfig


def make_optimizer(model: nn.Module, train: TrainConfig) -> torch.optim.Optimizer:
    """Adam or AdamW; weight decay spares biases, norms and other vectors."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": train.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW if train.optimizer == "adamw" else torch.optim.Adam
    return optimizer([g for g in groups if g["params"]], lr=train.learning_rate, fused=True)


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float, clip: Clip) -> Tensor:
    """Scales gradients, in place, down to a norm of `max_norm` where they have a larger one.

    Args:
        parameters: whose gradients.
        max_norm: the largest norm that stays.
        clip: whether each "tensor" has a norm of its own or all have the "global" one.

    Returns:
        The norm that all gradients together had before, a scalar.
    """
    if clip == "global":
        return nn.utils.clip_grad_norm_(parameters, max_norm)
    norms = [nn.utils.clip_grad_norm_(p, max_norm) for p in parameters if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(norms))
