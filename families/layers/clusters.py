"""Families that assign frames to clusters and pool what each cluster gets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

from common.codec import Positive, Share
from families.base import FamilyModule, Features
from families.layers.classifier import ClassifierConfig, classifier_of
from families.layers.heads import GATED_MIXTURE, HeadConfig
from families.layers.pooling import PooledStreams
from records.schema import Schema


@dataclass(frozen=True)
class ClusterConfig(ClassifierConfig):
    """Hyperparameters of the families with clusters.

    Attributes:
        clusters: K of the widest stream.
        clusters_divisor: the other streams have K // clusters_divisor.
        hidden: units of the layer behind the pooling.
    """

    clusters: Annotated[int, Ge(2)] = 64
    clusters_divisor: Positive = 2
    hidden: Positive = 512
    gating: bool = True
    dropout: Share = 0.0
    head: HeadConfig = GATED_MIXTURE


class ClusterFamily(FamilyModule):
    """A pooling a stream, linear layer, gating, head; subclasses define `pool`."""

    def __init__(self, config: ClusterConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        counts = self.cluster_counts(config.clusters, config.clusters_divisor)
        self.pooling = PooledStreams(self.pool(size, clusters) for size, clusters in counts)
        self.hidden = hidden_layer(self.pooling.size, config.hidden, config.clusters)
        self.classifier = classifier_of(config, config.hidden, schema.num_labels)

    def pool(self, size: int, clusters: int) -> nn.Module:
        """A stream's pooling, from frames (B, T, `size`) and their mask to (B, pool.size)."""
        raise NotImplementedError

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        return self.classifier(self.hidden(self.pooling(*self.frames(features, mask))))


def hidden_layer(width: int, hidden: int, clusters: int) -> nn.Linear:
    """The linear layer behind pooled streams, with the winners' start (standard deviation K^-1/2).

    Args:
        width: size of the concatenated streams.
        hidden: H.
        clusters: K of the widest stream.
    """
    layer = nn.Linear(width, hidden)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(clusters))
    nn.init.normal_(layer.bias, std=0.01)
    return layer
