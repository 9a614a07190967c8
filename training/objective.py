"""What a training minimizes: a task gives loss and output, the loop knows no more.

Binary cross entropy of log-odds z and a target t is softplus(z) - t z. With three labels of
thousands the targets stay sparse: the second term is computed where t differs from the rest alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from families.base import FamilyModule
from families.layers.parts import ranks, summed
from records import Batch


@dataclass(frozen=True)
class Targets:
    """What the labels of B clips ought to be: what `cross_entropy` takes beside the log-odds."""

    rows: Tensor
    columns: Tensor
    targets: Tensor
    base: Tensor | None = None
    weights: Tensor | None = None

    def dense(self, clips: int, num_labels: int) -> Tensor:
        """The targets as (B, V), each clip's times its weight."""
        dense = self.targets.new_zeros(clips, num_labels)
        dense.index_put_((self.rows, self.columns), self.targets, accumulate=True)
        return dense if self.base is None else dense + self.base[:, None]


class Objective(ABC):
    """What a model learns from a batch on its device."""

    @abstractmethod
    def targets(self, batch: Batch) -> Targets:
        """The targets of a batch."""

    def __call__(self, model: FamilyModule, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss (a scalar, float32) and log-odds (B, V)."""
        goal = self.targets(batch)
        return loss_of(
            model,
            batch,
            lambda z: cross_entropy(
                z, goal.rows, goal.columns, goal.targets, goal.base, goal.weights
            ),
        )


def loss_of(
    model: FamilyModule, batch: Batch, label_losses: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """A model's loss on a batch, averaged over its clips, and the log-odds (B, V).

    Where several processes compute a batch together, it is the loss of all its clips on each.

    Args:
        model: says what the loss is taken of, and how the labels' losses add up.
        batch: on the model's device.
        label_losses: from log-odds (B, V) to each label's cross entropy (V,), summed over clips.
    """
    clips = len(batch) * ranks()
    outputs = [(w, z.float()) for w, z in model.training_outputs(batch.features, batch.mask)]
    losses = [w * model.total_loss(summed(label_losses(z)) / clips) for w, z in outputs]
    return torch.stack(losses).sum(), outputs[-1][1]


class HardLabels(Objective):
    """The labels as they are: binary cross entropy summed over labels, mean over the batch.

    Labels that are unknown of a clip are not in its sum.
    """

    def targets(self, batch: Batch) -> Targets:
        rows, columns = batch.labels.unbind(1)
        weights = None if batch.unknown is None else (~batch.unknown).float()
        return Targets(rows, columns, torch.ones(len(rows), device=rows.device), weights=weights)


def cross_entropy(
    log_odds: Tensor,
    rows: Tensor,
    columns: Tensor,
    targets: Tensor,
    base: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Each label's binary cross entropy on log-odds (V,), summed over clips, of sparse targets.

    Args:
        log_odds: (B, V) float32.
        rows: (n,) int64, clips; a cell may come more than once, its targets add up.
        columns: (n,) int64, labels.
        targets: (n,) float32, the target in each of those cells, less the clip's `base`.
        base: (B,) float32, the target everywhere else; 0 where None.
        weights: float32, (B, 1) of each clip's loss or (B, V) of each label's in each clip;
            `targets` and `base` have them in them already. 1 where None.
    """
    return _CrossEntropy.apply(log_odds, rows, columns, targets, base, weights)


class _CrossEntropy(torch.autograd.Function):
    """The gradient is w sigmoid(z) - t: written out, it takes one pass over (B, V), no dense t."""

    @staticmethod
    def forward(
        ctx: Any,
        log_odds: Tensor,
        rows: Tensor,
        columns: Tensor,
        targets: Tensor,
        base: Tensor | None,
        weights: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(log_odds, rows, columns, targets, base, weights)
        losses = F.softplus(log_odds)
        loss = (losses if weights is None else losses * weights).sum(0)
        loss.index_add_(0, columns, log_odds[rows, columns] * targets, alpha=-1)
        return loss if base is None else loss - base @ log_odds

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        log_odds, rows, columns, targets, base, weights = ctx.saved_tensors
        gradient = torch.sigmoid(log_odds)
        if weights is not None:
            gradient *= weights
        if base is not None:
            gradient -= base[:, None]
        gradient.index_put_((rows, columns), -targets, accumulate=True)
        return gradient.mul_(grad), None, None, None, None, None
