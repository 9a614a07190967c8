"""The students' objective: labels and soft targets together."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from distill.soft_targets import SoftTargets
from families import cross_entropy
from records import Batch


class SoftAndHardLabels:
    """Skalic & Austin 2018, equation 2, both terms negative log-likelihoods.

    loss = hard_weight * BCE(labels) + (1 - hard_weight) * BCE(soft targets), each summed over the
    labels and averaged over the batch. The probability of the tail is spread evenly over the
    labels that are not stored, so that the soft term knows all V labels without holding them.

    Args:
        targets: the teacher's probabilities.
        hard_weight: lambda.
    """

    def __init__(self, targets: SoftTargets, hard_weight: float) -> None:
        self._targets = targets
        self._hard_weight = hard_weight

    def __call__(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        log_odds = model(batch.features, batch.mask).float()
        found = self._targets.rows(batch.ids)
        device = log_odds.device
        labels = torch.from_numpy(self._targets.labels[found].astype(np.int64)).to(device)
        stored = torch.from_numpy(self._targets.probabilities[found]).to(device)
        tail = torch.from_numpy(self._targets.tail[found]).to(device)
        share = tail / max(self._targets.num_labels - labels.shape[1], 1)
        soft_weight = 1 - self._hard_weight
        clips = torch.arange(len(batch), device=device)[:, None].expand_as(labels)
        hard = torch.full((len(batch.labels),), self._hard_weight, device=device)
        loss = cross_entropy(
            log_odds,
            torch.cat([batch.labels[:, 0], clips.flatten()]),
            torch.cat([batch.labels[:, 1], labels.flatten()]),
            torch.cat([hard, soft_weight * (stored - share[:, None]).flatten()]),
            soft_weight * share,
        )
        return loss / len(batch), log_odds
