"""Context gating."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from families.layers.batch_norm import MaskedBatchNorm


class ContextGating(nn.Module):
    """x * sigmoid(BN(x W)): every unit weighed in the light of all others (Miech et al. 2017)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, size))
        self.norm = MaskedBatchNorm(size)
        nn.init.normal_(self.weight, std=1 / math.sqrt(size))

    def gates(self, x: Tensor) -> Tensor:
        """BN(x W), (B, H)."""
        return self.norm(functional.linear(x, self.weight))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to (B, H)."""
        return x * torch.sigmoid(self.gates(x))
