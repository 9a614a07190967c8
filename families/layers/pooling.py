"""Parts that the pooled families share: soft assignment of frames to clusters, sums over frames."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from families.layers.batch_norm import MaskedBatchNorm

NORM_FLOOR = 1e-6  # of an L2 norm; TensorFlow's l2_normalize clamps its square at 1e-12


class PooledStreams(nn.ModuleList):
    """A pooling a stream, and what comes out of them side by side.

    Args:
        pools: from a stream's frames (B, T, D) and their mask to (B, `size`), each.

    Attributes:
        size: of all together.
    """

    def __init__(self, pools: Iterable[Any]) -> None:
        pools = list(pools)
        super().__init__(pools)
        self.size: int = sum(pool.size for pool in pools)

    def forward(self, frames: list[Tensor], mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) of every stream to (B, `size`)."""
        return torch.cat([pool(x, mask) for pool, x in zip(self, frames, strict=True)], dim=1)


class NormedLinear(nn.Module):
    """W BN(x) for frames x, as one matrix product."""

    def __init__(self, size: int, units: int) -> None:
        super().__init__()
        self.norm = MaskedBatchNorm(size)
        self.weight = nn.Parameter(torch.empty(units, size))
        nn.init.normal_(self.weight, std=1 / math.sqrt(size))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) to (B, T, K)."""
        scale, shift = self.norm.affine(x, mask)
        return functional.linear(x, self.weight * scale, (self.weight * shift).sum(dim=1))


class ClusterScores(nn.Module):
    """BN(W x) for frames x whose own normalization is a scale and a shift, which W absorbs.

    In evaluation both batch norms are part of one matrix product.
    """

    def __init__(self, size: int, clusters: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(clusters, size))
        self.norm = MaskedBatchNorm(clusters)
        nn.init.normal_(self.weight, std=1 / math.sqrt(size))

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) and their affine normalization (D,) to scores (B, T, K)."""
        weight, bias = self.weight * scale, (self.weight * shift).sum(dim=1)
        if self.training:
            return self.norm(functional.linear(x, weight, bias), mask)
        outer, offset = self.norm.affine(x)
        return functional.linear(x, weight * outer[:, None], bias * outer + offset)


class SoftAssignment(nn.Module):
    """softmax(BN(W x)): the share of every cluster in every frame; nothing in padding."""

    def __init__(self, size: int, clusters: int) -> None:
        super().__init__()
        self.scores = ClusterScores(size, clusters)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) and their affine normalization (D,) to shares (B, T, K)."""
        shares = torch.softmax(self.scores(x, scale, shift, mask), dim=-1)
        return shares if mask is None else shares * mask[..., None]


def weighted_sums(shares: Tensor, x: Tensor) -> Tensor:
    """sum over t of a_tk x_td, float32: (B, T, K) and (B, T, D) to (B, K, D)."""
    return torch.bmm(shares.transpose(1, 2), x.to(shares.dtype)).float()


def unit_length(x: Tensor) -> Tensor:
    """x over its L2 norm along the last dimension; zero stays zero."""
    return functional.normalize(x, dim=-1, eps=NORM_FLOOR)


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of the real frames: (B, T, D) to (B, D); zero for a clip without any."""
    if mask is None:
        return x.mean(dim=1)
    real = mask.to(x.dtype)
    share = real / real.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.bmm(share[:, None], x)[:, 0]
