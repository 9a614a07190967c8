"""Context gating."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from families.layers.batch_norm import MaskedBatchNorm


class ContextGating(nn.Module):
    """x * sigmoid(BN(x W)): every unit is weighed in the light of all others (Miech et al. 2017).

    Args:
        size: H.
        diagonal: False leaves a unit's own value out of its gate.
    """

    def __init__(self, size: int, *, diagonal: bool = True) -> None:
        super().__init__()
        self.diagonal = diagonal
        self.weight = nn.Parameter(torch.empty(size, size))
        self.norm = MaskedBatchNorm(size)
        nn.init.normal_(self.weight, std=1 / math.sqrt(size))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to (B, H)."""
        gates = functional.linear(x, self.weight)
        if not self.diagonal:
            gates = gates - x * self.weight.diagonal()
        return x * torch.sigmoid(self.norm(gates))
