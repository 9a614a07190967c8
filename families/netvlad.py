"""NetVLAD: soft-assigned residuals to learned centers; RVLAD without the centers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from families.layers.batch_norm import MaskedBatchNorm
from families.layers.clusters import ClusterConfig, ClusterFamily
from families.layers.pooling import SoftAssignment, unit_length, weighted_sums
from families.registry import register


@dataclass(frozen=True)
class NetVLADConfig(ClusterConfig):
    """Hyperparameters of NetVLAD.

    Attributes:
        residuals: True subtracts the learned centers (NetVLAD), False does not (RVLAD, LightVLAD).
    """

    residuals: bool = True


class VLADPooling(nn.Module):
    """sum_t a_tk (x_t - c_k), each cluster and then the whole at unit length (Arandjelovic 2018).

    `residuals` says whether there are centers c.
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
class NetVLAD(ClusterFamily):
    """NetVLAD a stream, linear layer, gating, head (Skalic & Austin 2018; Miech et al. 2017)."""

    def pool(self, size: int, clusters: int) -> VLADPooling:
        return VLADPooling(size, clusters, residuals=self.config.residuals)
