"""The students' objective: labels and soft targets together."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from distill.soft_targets import SoftTargets
from families import negative_part, positive_part
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
        hard = positive_part(log_odds, batch.labels)
        soft = self._soft_part(log_odds, batch)
        expected = self._hard_weight * hard + (1 - self._hard_weight) * soft
        return (negative_part(log_odds) - expected) / len(batch), log_odds

    def _soft_part(self, log_odds: Tensor, batch: Batch) -> Tensor:
        """Sum of t z over all labels and clips, t the soft target. A scalar."""
        rows = self._targets.rows(batch.ids)
        device = log_odds.device
        labels = torch.from_numpy(self._targets.labels[rows].astype(np.int64)).to(device)
        stored = torch.from_numpy(self._targets.probabilities[rows]).to(device)
        tail = torch.from_numpy(self._targets.tail[rows]).to(device)
        share = tail / max(self._targets.num_labels - labels.shape[1], 1)
        excess = stored - share[:, None]
        return (log_odds.gather(1, labels) * excess).sum() + (log_odds.sum(1) * share).sum()
