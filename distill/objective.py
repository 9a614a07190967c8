"""The students' objective: labels and soft targets together."""

import numpy as np
import torch

from distill.soft_targets import SoftTargets
from records import Batch
from training.objective import Objective, Targets


class SoftAndHardLabels(Objective):
    """Skalic & Austin 2018, equation 2, both terms negative log-likelihoods.

    loss = hard_weight * BCE(labels) + (1 - hard_weight) * BCE(soft targets), each summed over the
    labels and averaged over the batch. The probability of the tail is spread evenly over the
    labels that are not stored, so that the soft term knows all V labels without holding them.
    """

    def __init__(self, targets: SoftTargets, hard_weight: float) -> None:
        self._targets = targets
        self._hard_weight = hard_weight

    def targets(self, batch: Batch) -> Targets:
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
        return Targets(rows, columns, goals, soft_weight * share)
