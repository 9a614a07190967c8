"""The students' objective: labels and soft targets together."""

import numpy as np
import torch
from torch import Tensor

from distill.soft_targets import SoftTargets
from families import FamilyModule
from records import Batch
from training.objective import cross_entropy, loss_of


class SoftAndHardLabels:
    """Skalic & Austin 2018, equation 2, both terms negative log-likelihoods.

    loss = hard_weight * BCE(labels) + (1 - hard_weight) * BCE(soft targets), each summed over the
    labels and averaged over the batch. The probability of the tail is spread evenly over the
    labels that are not stored, so that the soft term knows all V labels without holding them.
    """

    def __init__(self, targets: SoftTargets, hard_weight: float) -> None:
        self._targets = targets
        self._hard_weight = hard_weight

    def __call__(self, model: FamilyModule, batch: Batch) -> tuple[Tensor, Tensor]:
        found = self._targets.rows(batch.ids)
        device = batch.labels.device
        labels = torch.from_numpy(self._targets.labels[found].astype(np.int64)).to(device)
        stored = torch.from_numpy(self._targets.probabilities[found]).to(device)
        tail = torch.from_numpy(self._targets.tail[found]).to(device)
        share = tail / max(self._targets.num_labels - labels.shape[1], 1)
        soft_weight = 1 - self._hard_weight
        clips = torch.arange(len(batch), device=device)[:, None].expand_as(labels)
        hard = torch.full((len(batch.labels),), self._hard_weight, device=device)
        rows = torch.cat([batch.labels[:, 0], clips.flatten()])
        columns = torch.cat([batch.labels[:, 1], labels.flatten()])
        goals = torch.cat([hard, soft_weight * (stored - share[:, None]).flatten()])
        base = soft_weight * share
        return loss_of(model, batch, lambda z: cross_entropy(z, rows, columns, goals, base))
