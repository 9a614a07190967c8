"""NetFV: Fisher vectors with learned, decoupled centers and diagonal covariances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from families.layers.batch_norm import MaskedBatchNorm
from families.layers.clusters import ClusterConfig, ClusterFamily
from families.layers.pooling import SoftAssignment, unit_length, weighted_sums
from families.registry import register

DEVIATION_FLOOR = 1e-6


@dataclass(frozen=True)
class NetFVConfig(ClusterConfig):
    """Hyperparameters of NetFV."""

    clusters: Annotated[int, Ge(2)] = 32


class FisherPooling(nn.Module):
    """First and second order statistics of the frames about K Gaussians (Miech et al. 2017).

    With s = w^2 + 1e-6 the learned deviations: first order sum_t a_tk (x_t - c_k) / s_k, at unit
    length within a cluster and then as a whole; second order
    sum_t a_tk ((x_t - c_k)^2 / s_k^2 - 1), at unit length as a whole.
    """

    def __init__(self, size: int, clusters: int) -> None:
        super().__init__()
        self.size = 2 * clusters * size
        self.input_norm = MaskedBatchNorm(size)
        self.assignment = SoftAssignment(size, clusters)
        self.centers = nn.Parameter(torch.empty(clusters, size))
        self.deviation_roots = nn.Parameter(torch.empty(clusters, size))
        nn.init.normal_(self.centers, std=1 / math.sqrt(size))
        nn.init.normal_(self.deviation_roots, mean=1.0, std=1 / math.sqrt(size))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) to (B, 2 * K * D), first order first."""
        scale, shift = self.input_norm.affine(x, mask)
        shares = self.assignment(x, scale, shift, mask)
        mass = shares.sum(dim=1, dtype=torch.float32)[..., None]
        deviations = self.deviation_roots.square() + DEVIATION_FLOOR
        # With u = scale / s and v = (shift - c) / s, (normalized x - c) / s is u x + v.
        slope, offset = scale / deviations, (shift - self.centers) / deviations
        sums = weighted_sums(shares, x) * slope
        first = sums + mass * offset
        squares = weighted_sums(shares, x * x) * slope.square()
        second = squares + 2 * offset * sums + mass * (offset.square() - 1)
        first = unit_length(unit_length(first).flatten(1))
        return torch.cat([first, unit_length(second.flatten(1))], dim=1)


@register("netfv", NetFVConfig)
class NetFV(ClusterFamily):
    """Fisher vectors a stream, linear layer, gating, head (Skalic & Austin 2018, FVNet)."""

    def pool(self, size: int, clusters: int) -> FisherPooling:
        return FisherPooling(size, clusters)
