"""Frames pooled by a generalized mean whose exponents are learned (Radenović et al. 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional

from common.codec import Positive
from families import FamilyModule, register
from families.base import Features
from families.layers.classifier import ClassifierConfig, classifier_of
from families.layers.pooling import NormedLinear, masked_mean
from records import Schema

FLOOR = 1e-6


@dataclass(frozen=True)
class GeneralizedMeanConfig(ClassifierConfig):
    """Hyperparameters of the generalized mean, beside gating, dropout and head.

    Attributes:
        hidden: units of a stream.
        exponent: what every unit starts with; 1 is the mean, infinity the maximum.
    """

    hidden: Positive = 512
    exponent: Annotated[float, Gt(0)] = 3.0


class GeneralizedMeanPooling(nn.Module):
    """(mean over t of x_t^p)^(1/p) with a p of its own for every unit (equation 3)."""

    def __init__(self, units: int, exponent: float) -> None:
        super().__init__()
        self.log_exponent = nn.Parameter(torch.full((units,), math.log(exponent)))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, H), above 0, and their mask to (B, H)."""
        exponent = self.log_exponent.exp()
        # A clip without frames has mean 0, whose root has no slope.
        return masked_mean(x.float() ** exponent, mask).clamp(min=FLOOR) ** (1 / exponent)


@register("generalized_mean", GeneralizedMeanConfig, sampling="draw")
class GeneralizedMean(FamilyModule):
    """Each stream's frames through a layer and its pooling, joined, head."""

    def __init__(self, config: GeneralizedMeanConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.layers = nn.ModuleList(NormedLinear(s.size, config.hidden) for s in self.streams)
        self.pools = nn.ModuleList(
            GeneralizedMeanPooling(config.hidden, config.exponent) for _ in self.streams
        )
        width = config.hidden * len(self.streams)
        self.classifier = classifier_of(config, width, schema.num_labels)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        frames, mask = self.frames(features, mask)
        pooled = [
            pool(functional.softplus(layer(x, mask)), mask)
            for layer, pool, x in zip(self.layers, self.pools, frames, strict=True)
        ]
        return self.classifier(torch.cat(pooled, dim=1))
