"""Deep bag of frames: original, soft and gated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional

from common.codec import Positive
from families.base import FamilyModule, Features
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.classifier import classifier_of
from families.layers.clusters import ClusterConfig, hidden_layer
from families.layers.heads import MIXTURE, HeadConfig
from families.layers.pooling import (
    NormedLinear,
    PooledStreams,
    SoftAssignment,
    masked_mean,
    unit_length,
)
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class DBoFConfig(ClusterConfig):
    """Hyperparameters of the deep bag of frames.

    Attributes:
        variant: "original" (Abu-El-Haija et al. 2016), "soft" or "gated" (the winners').
        clusters: K of the widest stream; of the joined streams in the original, which has no use
            for clusters_divisor.
        pooling: over the frames, "max" or "mean" (original).
        bottleneck: units that the gate of the widest stream is squeezed through (gated);
            0 stands for the stream's size.
    """

    variant: Literal["original", "soft", "gated"] = "gated"
    clusters: Annotated[int, Ge(2)] = 1024
    clusters_divisor: Positive = 8
    pooling: Literal["max", "mean"] = "max"
    bottleneck: Annotated[int, Ge(0)] = 0
    gating: bool = False
    head: HeadConfig = MIXTURE


class OriginalBag(nn.Module):
    """Linear map of the joined streams to K units, BN, relu6, maximum or mean over the frames."""

    def __init__(self, sizes: list[int], clusters: int, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        self.maps = nn.ModuleList(NormedLinear(size, clusters) for size in sizes)
        self.norm = MaskedBatchNorm(clusters)

    def forward(self, frames: list[Tensor], mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) of every stream to (B, K)."""
        # The sum of the streams' maps is the linear map of the joined streams.
        parts = [linear(x, mask) for linear, x in zip(self.maps, frames, strict=True)]
        activation = functional.relu6(self.norm(sum(parts[1:], parts[0]), mask))
        if self.pooling == "mean":
            return masked_mean(activation, mask)
        return max_over_frames(activation, mask)


class SoftBag(nn.Module):
    """softmax(BN(W x)), summed over the frames, at unit length."""

    def __init__(self, size: int, clusters: int) -> None:
        super().__init__()
        self.size = clusters
        self.input_norm = MaskedBatchNorm(size)
        self.assignment = SoftAssignment(size, clusters)

    def shares(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) to the clusters' shares in them (B, T, K)."""
        scale, shift = self.input_norm.affine(x, mask)
        return self.assignment(x, scale, shift, mask)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) to (B, K)."""
        return unit_length(self.shares(x, mask).sum(dim=1, dtype=torch.float32))


class GatedBag(SoftBag):
    """The soft bag's sum, gated by the clusters' largest shares (Skalic & Austin 2018, code).

    The unit-length maximum over the frames goes through K -> bottleneck -> K without activation,
    BN and a sigmoid, and multiplies the sum. A bottleneck of 0 stands for D.
    """

    def __init__(self, size: int, clusters: int, bottleneck: int) -> None:
        super().__init__(size, clusters)
        width = bottleneck or size
        self.squeeze = nn.Linear(clusters, width, bias=False)
        self.expand = nn.Linear(width, clusters, bias=False)
        self.gate_norm = MaskedBatchNorm(clusters)
        nn.init.normal_(self.squeeze.weight, std=1 / math.sqrt(width))
        nn.init.normal_(self.expand.weight, std=1 / math.sqrt(width))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) to (B, K)."""
        shares = self.shares(x, mask)
        largest = unit_length(max_over_frames(shares, mask).float())
        gates = torch.sigmoid(self.gate_norm(self.expand(self.squeeze(largest))))
        return unit_length(shares.sum(dim=1, dtype=torch.float32) * gates)


def max_over_frames(x: Tensor, mask: Tensor | None) -> Tensor:
    """The largest of non-negative values over the real frames: (B, T, K) to (B, K), 0 for none."""
    if mask is not None:
        x = x * mask[..., None]
    return x.max(dim=1).values


@register("dbof", DBoFConfig)
class DBoF(FamilyModule):
    """A bag of frames, hidden layer, head; the widest stream gated, the others soft if gated."""

    def __init__(self, config: DBoFConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.bags: nn.ModuleList
        self.hidden: nn.Module
        if config.variant == "original":
            sizes = [stream.size for stream in self.streams]
            self.bags = nn.ModuleList([OriginalBag(sizes, config.clusters, config.pooling)])
            self.hidden = _bounded_layer(config.clusters, config.hidden)
        else:
            first, *others = self.cluster_counts(config.clusters, config.clusters_divisor)
            gated = config.variant == "gated"
            widest = GatedBag(*first, config.bottleneck) if gated else SoftBag(*first)
            self.bags = bags = PooledStreams([widest, *(SoftBag(*other) for other in others)])
            self.hidden = hidden_layer(bags.size, config.hidden, config.clusters)
        self.classifier = classifier_of(config, config.hidden, schema.num_labels)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        bags = self.bags[0] if self.config.variant == "original" else self.bags
        return self.classifier(self.hidden(bags(*self.frames(features, mask))))


def _bounded_layer(width: int, hidden: int) -> nn.Sequential:
    """The original's hidden layer: linear without bias, BN, relu6."""
    linear = nn.Linear(width, hidden, bias=False)
    nn.init.normal_(linear.weight, std=1 / math.sqrt(width))
    return nn.Sequential(linear, MaskedBatchNorm(hidden), nn.ReLU6())
