"""A family of a user's own: the means and the maxima of the streams, a hidden layer, a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn

from families import FamilyModule, HeadConfig, register
from families.layers.classifier import Classifier
from records import Schema


@dataclass(frozen=True)
class MeanMaxConfig:
    hidden: Annotated[int, Ge(1)] = 256
    head: HeadConfig = field(default_factory=HeadConfig)


@register("mean_max", MeanMaxConfig, sampling="draw")
class MeanMax(FamilyModule):
    def __init__(self, config: MeanMaxConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        size = 2 * sum(stream.size for stream in schema.streams)
        self.hidden = nn.Linear(size, config.hidden)
        self.classifier = Classifier(
            config.hidden, schema.num_labels, head=config.head, gating=False, dropout=0.0
        )

    def forward(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        frames, mask = self.frames(features, mask)
        if mask is not None:
            # What is padded is never the greatest; a clip of nothing but padding counts as zeros.
            padding = ~mask[..., None] & mask.any(dim=1)[:, None, None]
            frames = [x.masked_fill(padding, -torch.inf) for x in frames]
        maxima = [x.amax(dim=1) for x in frames]
        x = torch.cat([*self.means(features, mask), *maxima], dim=1)
        return self.classifier(torch.relu(self.hidden(x)))
