"""Attention pooling: frames averaged by a learned softmax over time, stream by stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional

from common.codec import Positive, Share
from families.base import FamilyModule, Features
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.classifier import ClassifierConfig, classifier_of
from families.layers.heads import MIXTURE, HeadConfig
from families.layers.hidden import HiddenLayer
from families.layers.pooling import PooledStreams, weighted_sums
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class AttentionConfig(ClassifierConfig):
    """Hyperparameters of attention pooling.

    Attributes:
        heads: softmaxes a stream; each gives a weighted mean of its own.
        units: L, the size of the space in which a frame's weight is found.
        hidden: units of the layer behind the joined streams; 0 leaves it out.
    """

    heads: Positive = 4
    units: Positive = 128
    hidden: Annotated[int, Ge(0)] = 1024
    dropout: Share = 0.3
    head: HeadConfig = MIXTURE


class AttentionPooling(nn.Module):
    """sum_t a_th BN(x_t), with a_h = softmax over t of w_h tanh(V BN(x_t)), for every head h.

    Ilse et al. 2018, equations 7 and 8, where frames are the instances of the bag; Yang et al.
    2016, equations 5 to 7, over the words of a sentence. The bias of V is the batch norm's.
    """

    def __init__(self, size: int, heads: int, units: int) -> None:
        super().__init__()
        self.size = heads * size
        self.norm = MaskedBatchNorm(size)
        self.weight = nn.Parameter(torch.empty(units, size))
        # A bias would move all frames' scores alike, which a softmax does not see.
        self.queries = nn.Linear(units, heads, bias=False)
        nn.init.normal_(self.weight, std=1 / math.sqrt(size))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, D) to (B, H * D); zeros for a clip without frames."""
        scale, shift = self.norm.affine(x, mask)
        shares = self._shares(x, scale, shift, mask)
        mass = shares.sum(dim=1, dtype=torch.float32)[..., None]
        return (weighted_sums(shares, x) * scale + mass * shift).flatten(1)

    def _shares(self, x: Tensor, scale: Tensor, shift: Tensor, mask: Tensor | None) -> Tensor:
        """The frames' shares in every head (B, T, H), adding up to 1 over the real frames."""
        hidden = functional.linear(x, self.weight * scale, (self.weight * shift).sum(dim=1))
        scores = self.queries(torch.tanh(hidden)).float()
        if mask is None:
            return torch.softmax(scores, dim=1)
        real = mask[..., None]
        # The lowest finite number: a clip without frames would be 0 / 0 with minus infinity.
        scores = scores.masked_fill(~real, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, dim=1) * real


@register("attention", AttentionConfig)
class Attention(FamilyModule):
    """Attention pooling a stream, hidden layer (linear, BN, relu), head."""

    def __init__(self, config: AttentionConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.pooling = PooledStreams(
            AttentionPooling(stream.size, config.heads, config.units) for stream in self.streams
        )
        width = self.pooling.size
        self.hidden: nn.Module = nn.Identity()
        if config.hidden:
            # The classifier drops the units.
            self.hidden = HiddenLayer(width, config.hidden, norm="batch")
        self.classifier = classifier_of(config, config.hidden or width, schema.num_labels)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        return self.classifier(self.hidden(self.pooling(*self.frames(features, mask))))
