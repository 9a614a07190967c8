"""What a training minimizes: a task gives loss and output, the loop knows no more.

Binary cross entropy is computed on log-odds z as softplus(z) - t z, and the second term only where
a target t is not zero: with three labels of thousands, the targets are never made dense.
"""

from __future__ import annotations

from typing import Protocol

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
        loss = negative_part(log_odds) - positive_part(log_odds, batch.labels)
        return loss / len(batch), log_odds


def negative_part(log_odds: Tensor) -> Tensor:
    """Sum of softplus(z): the cross entropy were every target zero. A scalar."""
    return F.softplus(log_odds).sum()


def positive_part(log_odds: Tensor, labels: Tensor) -> Tensor:
    """Sum of z over the true labels, given as (n, 2) rows and columns. A scalar."""
    return log_odds[labels[:, 0], labels[:, 1]].sum()
