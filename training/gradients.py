"""The gradient of a batch's loss, also where several processes or several steps compute it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from families.base import FamilyModule
from families.layers.parts import Part, computing
from records import Batch
from training.config import TrainConfig
from training.device import autocast, random_states, set_random_states
from training.objective import Objective
from training.ranks import Ranks


class Gradients:
    """Computes the gradient of a model's loss on whole batches, of which it is given its part.

    Args:
        model: on its device; its parameters are made those of the first rank.
        objective: gives the loss.
        train: the settings; `micro_batch` is heeded.
        ranks: the processes that each have a part of every batch.
    """

    def __init__(
        self, model: FamilyModule, objective: Objective, train: TrainConfig, ranks: Ranks
    ) -> None:
        self._device = next(model.parameters()).device
        self._train = train
        self._ranks = ranks
        self._loss: nn.Module = _Loss(model, objective)
        if ranks.count > 1:
            # Batch norm's buffers are alike everywhere, since their statistics are.
            self._loss = DistributedDataParallel(
                self._loss, forward_sync_buffers=False, gradient_as_bucket_view=True
            )

    def compute(self, batch: Batch) -> Tensor:
        """Adds the gradient to that of the parameters; returns the whole batch's loss, detached.

        Args:
            batch: this rank's clips, as read: they go to the device when their turn comes.
        """
        clips = len(batch)
        at_once = self._train.micro_batch or clips
        pieces = -(-clips // at_once)
        if pieces == 1:
            loss = self._forward(batch, 0, clips)
            loss.backward()
            return loss.detach()
        bounds = [piece * clips // pieces for piece in range(pieces + 1)]
        # Each piece draws what the whole batch would, and takes its clips' share of that.
        states = random_states(self._device)
        total = torch.zeros((), device=self._device)
        for start, end in pairwise(bounds):
            set_random_states(states)
            with self._kept_back(end < clips):
                part = self._forward(batch.part(start, end), start, clips)
                loss = part * ((end - start) / clips)
                loss.backward()
            total += loss.detach()
        return total

    def _forward(self, batch: Batch, start: int, clips: int) -> Tensor:
        """The loss on a piece of this rank's clips, whose number is given, from a place on."""
        count = self._ranks.count
        part = Part(self._ranks.rank * clips + start, count * clips, count)
        is_whole = count == 1 and len(batch) == clips
        with (
            autocast(self._device, self._train.precision),
            nullcontext() if is_whole else computing(part),
        ):
            loss: Tensor = self._loss(batch.to(self._device))
        return loss

    def _kept_back(self, more: bool) -> AbstractContextManager[None]:
        """Where more of a gradient follows, it is not sent to the other ranks yet."""
        if more and isinstance(self._loss, DistributedDataParallel):
            return self._loss.no_sync()
        return nullcontext()


class _Loss(nn.Module):
    """The loss as a module's output, whose gradient torch can share."""

    def __init__(self, model: FamilyModule, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self._objective = objective

    def forward(self, batch: Batch) -> Tensor:
        loss, _ = self._objective(self.model, batch)
        return loss
