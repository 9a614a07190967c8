"""The streams' means as one normalized vector."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from common.codec import Share
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.classifier import ClassifierConfig
from families.layers.dropout import Dropout
from families.layers.pooling import unit_length
from records.schema import Stream

InputNorm = Literal["none", "batch", "length"]


@dataclass(frozen=True)
class MeansConfig(ClassifierConfig):
    """Hyperparameters of a fully connected net on the means.

    Attributes:
        input_norm: of each stream's mean: "none", "batch" (standardized) or "length" (L2).
        input_dropout: of the inputs.
        dropout: behind every hidden layer.
        gating: context gating of the last hidden layer.
    """

    input_norm: InputNorm = "batch"
    input_dropout: Share = 0.0


class NormedStreams(nn.ModuleList):
    """Each stream's values (B, D) normalized by themselves; see `MeansConfig.input_norm`."""

    def __init__(self, streams: Iterable[Stream], norm: InputNorm) -> None:
        super().__init__(
            MaskedBatchNorm(stream.size) if norm == "batch" else nn.Identity() for stream in streams
        )
        self.unit = norm == "length"

    def forward(self, streams: list[Tensor]) -> list[Tensor]:
        """As many, of the same shapes."""
        if self.unit:
            return [unit_length(x) for x in streams]
        return [norm(x) for norm, x in zip(self, streams, strict=True)]


class JoinedMeans(nn.Module):
    """Each stream's mean normalized by itself, then all of them side by side, dropout."""

    def __init__(
        self, streams: tuple[Stream, ...], norm: InputNorm, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.size = sum(stream.size for stream in streams)
        self.norms = NormedStreams(streams, norm)
        self.dropout = Dropout(dropout)

    def forward(self, means: list[Tensor]) -> Tensor:
        """Means (B, D) of every stream to (B, sum of D)."""
        return self.dropout(torch.cat(self.norms(means), dim=1))
