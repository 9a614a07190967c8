"""NetVLAD: soft-assigned residuals to learned centers; RVLAD without the centers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from common.codec import Positive, Share
from families.base import FamilyModule
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.classifier import classifier_of
from families.layers.heads import HeadConfig
from families.layers.pooling import (
    PooledStreams,
    SoftAssignment,
    hidden_layer,
    unit_length,
    weighted_sums,
)
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class NetVLADConfig:
    """Hyperparameters of NetVLAD.

    Attributes:
        clusters: K of the widest stream.
        clusters_divisor: the other streams have K // clusters_divisor.
        hidden: units of the linear layer behind the pooling.
        residuals: True subtracts the learned centers (NetVLAD), False does not (RVLAD, LightVLAD).
        gating: context gating of the hidden units.
        dropout: of the hidden units.
        head: the classifier.
    """

    clusters: Annotated[int, Ge(2)] = 64
    clusters_divisor: Positive = 2
    hidden: Positive = 512
    residuals: bool = True
    gating: bool = True
    dropout: Share = 0.0
    head: HeadConfig = field(default_factory=lambda: HeadConfig(probability_gating=True))


class VLADPooling(nn.Module):
    """sum_t a_tk (x_t - c_k), each cluster and then the whole at unit length (Arandjelovic 2018).

    Args:
        size: D.
        clusters: K.
        residuals: whether there are centers c.
    """

    def __init__(self, size: int, clusters: int, *, residuals: bool) -> None:
        super().__init__()
        self.size = clusters * size
        self.input_norm = MaskedBatchNorm(size)
        self.assignment = SoftAssignment(size, clusters)
        self.centers: nn.Parameter | None = None
        if residuals:
            self.centers = nn.Parameter(torch.empty(clusters, size))
            nn.init.normal_(self.centers, std=1 / math.sqrt(size))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) to (B, K * D)."""
        scale, shift = self.input_norm.affine(x, mask)
        shares = self.assignment(x, scale, shift, mask)
        mass = shares.sum(dim=1, dtype=torch.float32)[..., None]
        origin = shift if self.centers is None else shift - self.centers
        residuals = weighted_sums(shares, x) * scale + mass * origin
        return unit_length(unit_length(residuals).flatten(1))


@register("netvlad", NetVLADConfig)
class NetVLAD(FamilyModule):
    """NetVLAD a stream, linear layer, gating, head (Skalic & Austin 2018; Miech et al. 2017)."""

    def __init__(self, config: NetVLADConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.pooling = PooledStreams(
            VLADPooling(size, clusters, residuals=config.residuals)
            for size, clusters in self.cluster_counts(config.clusters, config.clusters_divisor)
        )
        self.hidden = hidden_layer(self.pooling.size, config.hidden, config.clusters)
        self.classifier = classifier_of(config, config.hidden, schema.num_labels)

    def forward(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """See `FamilyModule.forward`."""
        pooled = self.pooling(*self.frames(features, mask))
        return self.classifier(self.hidden(pooled))
