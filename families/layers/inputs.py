"""The streams' means as one normalized vector."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from families.layers.batch_norm import MaskedBatchNorm
from families.layers.pooling import unit_length
from records.schema import Stream

InputNorm = Literal["none", "batch", "length"]


class JoinedMeans(nn.Module):
    """Each stream's mean normalized by itself, then all of them side by side.

    Args:
        streams: in the order of their means.
        norm: "none", "batch" (standardized) or "length" (L2).
        dropout: of the joined values.
    """

    def __init__(self, streams: tuple[Stream, ...], *, norm: InputNorm, dropout: float) -> None:
        super().__init__()
        self.size = sum(stream.size for stream in streams)
        self.unit = norm == "length"
        self.norms = nn.ModuleList(
            MaskedBatchNorm(stream.size) if norm == "batch" else nn.Identity() for stream in streams
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, means: list[Tensor]) -> Tensor:
        """Means (B, D) of every stream to (B, sum of D)."""
        if self.unit:
            means = [unit_length(x) for x in means]
        joined = [norm(x) for norm, x in zip(self.norms, means, strict=True)]
        return self.dropout(torch.cat(joined, dim=1))
