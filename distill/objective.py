"""The students' objective: labels and soft targets together."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.soft_targets import SoftTargets
from records import Batch
from training.objective import Objective, Targets


class SoftAndHardLabels(Objective):
    """Skalic & Austin 2018, equation 2, both terms negative log-likelihoods.

    loss = hard_weight * BCE(labels) + (1 - hard_weight) * BCE(soft targets), each summed over the
    labels and averaged over the batch. The probability of the tail is spread evenly over the
    labels that are not stored, so that the soft term knows all V labels without holding them. Of a
    label that is unknown of a clip there is the soft term alone.

    Args:
        targets: Of the training clips.
        hard_weight: lambda of the equation.
        unlabeled: Of the clips whose loss is `weight` * BCE(soft targets).
        weight: Of their loss.
    """

    def __init__(
        self,
        targets: SoftTargets,
        hard_weight: float,
        unlabeled: SoftTargets | None = None,
        weight: float = 1.0,
    ) -> None:
        self._targets = targets
        self._hard_weight = hard_weight
        self._soft_weights = np.full(len(targets.ids), 1 - hard_weight, np.float32)
        self._clip_weights: npt.NDArray[np.float32] | None = None
        if unlabeled is not None:
            self._targets, further = targets.joined(unlabeled)
            self._soft_weights = np.where(further, weight, 1 - hard_weight).astype(np.float32)
            self._clip_weights = np.where(further, weight, 1).astype(np.float32)

    def targets(self, batch: Batch) -> Targets:
        found = self._targets.rows(batch.ids)
        device = batch.labels.device

        def of_batch(array: npt.NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(array[found]).to(device)

        labels = torch.from_numpy(self._targets.labels[found].astype(np.int64)).to(device)
        stored = of_batch(self._targets.probabilities)
        tail = of_batch(self._targets.tail)
        share = tail / max(self._targets.num_labels - labels.shape[1], 1)
        soft_weights = of_batch(self._soft_weights)
        clips = torch.arange(len(batch), device=device)[:, None].expand_as(labels)
        hard = torch.full((len(batch.labels),), self._hard_weight, device=device)
        rows = torch.cat([batch.labels[:, 0], clips.flatten()])
        columns = torch.cat([batch.labels[:, 1], labels.flatten()])
        goals = torch.cat([hard, (soft_weights[:, None] * (stored - share[:, None])).flatten()])
        weights = None if self._clip_weights is None else of_batch(self._clip_weights)[:, None]
        if batch.unknown is not None:
            whole = torch.ones(len(batch), 1, device=device) if weights is None else weights
            weights = whole - self._hard_weight * batch.unknown
        return Targets(rows, columns, goals, soft_weights * share, weights)
