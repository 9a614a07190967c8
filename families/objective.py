"""What a training minimizes: a task gives loss and output, the loop knows no more.

Binary cross entropy of log-odds z and a target t is softplus(z) - t z. With three labels of
thousands the targets stay sparse: the second term is computed where t differs from the rest alone.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from records import Batch


class Objective(Protocol):
    """A task of the trainer."""

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss (a scalar, float32) and log-odds (B, V) of one batch on the model's device."""
        ...


class HardLabels:
    """The labels as they are: binary cross entropy summed over labels, mean over the batch."""

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        log_odds = model(batch.features, batch.mask).float()
        rows, columns = batch.labels.unbind(1)
        ones = torch.ones(len(rows), device=log_odds.device)
        return cross_entropy(log_odds, rows, columns, ones) / len(batch), log_odds


def cross_entropy(
    log_odds: Tensor, rows: Tensor, columns: Tensor, targets: Tensor, base: Tensor | None = None
) -> Tensor:
    """Binary cross entropy on log-odds, summed over clips and labels; the targets are sparse.

    Args:
        log_odds: (B, V) float32.
        rows: (n,) int64, clips; a cell may come more than once, its targets add up.
        columns: (n,) int64, labels.
        targets: (n,) float32, the target in each of those cells, less the clip's `base`.
        base: (B,) float32, the target everywhere else; 0 where None.
    """
    loss: Tensor = _CrossEntropy.apply(log_odds, rows, columns, targets, base)
    return loss


class _CrossEntropy(torch.autograd.Function):
    """The gradient is sigmoid(z) - t: written out, it takes one pass over (B, V) and no dense t."""

    @staticmethod
    def forward(
        ctx: Any,
        log_odds: Tensor,
        rows: Tensor,
        columns: Tensor,
        targets: Tensor,
        base: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(log_odds, rows, columns, targets, base)
        loss = F.softplus(log_odds).sum() - (log_odds[rows, columns] * targets).sum()
        return loss if base is None else loss - (log_odds.sum(1) * base).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        log_odds, rows, columns, targets, base = ctx.saved_tensors
        gradient = torch.sigmoid(log_odds)
        if base is not None:
            gradient -= base[:, None]
        gradient.index_put_((rows, columns), -targets, accumulate=True)
        return gradient.mul_(grad), None, None, None, None
