"""A clip as one vector: its frames' mean alone, or with their deviation and highest values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from common.codec import Share
from families.layers.classifier import ClassifierConfig
from families.layers.inputs import InputNorm, JoinedMeans
from families.layers.pooling import masked_mean
from records.schema import Stream

ClipPooling = Literal["mean", "moments"]
HIGHEST = 5


@dataclass(frozen=True)
class ClipConfig(ClassifierConfig):
    """Hyperparameters of what scores a clip's vector.

    Attributes:
        pooling: what the frames become: their "mean", or "moments" (mean, standard deviation and
            the five highest values of every dimension).
        input_norm: of each stream's vector: "none", "batch" (standardized) or "length" (L2).
    """

    pooling: ClipPooling = "mean"
    input_norm: InputNorm = "batch"
    dropout: Share = 0.0


class PooledClip(nn.Module):
    """The streams pooled over the frames, normalized and joined."""

    def __init__(self, streams: tuple[Stream, ...], config: ClipConfig) -> None:
        super().__init__()
        self.pool = masked_mean if config.pooling == "mean" else moments
        values = 1 if config.pooling == "mean" else 2 + HIGHEST
        pooled = tuple(replace(stream, size=values * stream.size) for stream in streams)
        self.joined = JoinedMeans(pooled, config.input_norm)
        self.size = self.joined.size

    def forward(self, frames: list[Tensor], mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) of every stream to (B, `size`)."""
        return self.joined([self.pool(x, mask) for x in frames])


def moments(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean, standard deviation and the five highest values of every dimension over the frames.

    The video-level vector of Abu-El-Haija et al. 2016, its section on video-level features. A clip
    of one frame has the deviation 0. Where a clip has fewer than five frames its lowest value
    stands for the missing ones, so that repeating a clip's frames moves no value out of its range;
    a clip without frames is all zeros.

    Args:
        x: (B, T, D), T >= 1.
        mask: bool (B, T), True on real frames, which come first; None when all are.

    Returns:
        (B, 7 * D): the means, then the deviations, then the highest values, then the second...
    """
    mean = masked_mean(x, mask).to(x.dtype)
    deviation = masked_mean((x - mean[:, None]).square(), mask).sqrt()
    return torch.cat([mean, deviation, highest(x, mask).flatten(1)], dim=1)


def highest(x: Tensor, mask: Tensor | None) -> Tensor:
    """The five highest values of every dimension: (B, T, D) to (B, 5, D), falling."""
    batch, length, size = x.shape
    if mask is None:
        mask = x.new_ones(batch, length, dtype=torch.bool)
    best = x.masked_fill(~mask[..., None], -torch.inf).topk(min(HIGHEST, length), dim=1).values
    lengths = mask.sum(dim=1, keepdim=True)
    last = (lengths - 1).clamp(min=0)
    ranks = torch.minimum(torch.arange(HIGHEST, device=x.device), last)
    values = best.gather(1, ranks[..., None].expand(-1, -1, size))
    return torch.where((lengths > 0)[..., None], values, 0.0)
