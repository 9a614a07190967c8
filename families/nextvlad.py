"""NeXtVLAD: VLAD over groups of expanded frames, each group weighed by a sigmoid attention."""

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
from families.layers.classifier import Classifier
from families.layers.dropout import Dropout
from families.layers.heads import LOGISTIC, HeadConfig
from families.layers.pooling import PooledStreams, unit_length, weighted_sums
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class NeXtVLADConfig:
    """Hyperparameters of NeXtVLAD.

    Attributes:
        clusters: K of the widest stream.
        groups: G of the widest stream.
        divisor: the other streams have K // divisor clusters and G // divisor groups.
        expansion: lambda, by which frames are widened before they are split into groups.
        hidden: units of the layer behind the descriptors.
        gating_reduction: the gates of the hidden units pass hidden // gating_reduction units;
            0 leaves the gating out.
        dropout: of the descriptors.
        head: the classifier.
    """

    clusters: Annotated[int, Ge(2)] = 128
    groups: Positive = 8
    divisor: Positive = 2
    expansion: Positive = 2
    hidden: Positive = 2048
    gating_reduction: Annotated[int, Ge(0)] = 8
    dropout: Share = 0.5
    head: HeadConfig = LOGISTIC


class NeXtVLADPooling(nn.Module):
    """y_k = sum_t sum_g a_g(x_t) a_gk(x_t) (x_tg - c_k), at unit length a cluster, then BN.

    x_t is the frame widened by lambda and x_tg its g-th part of D' = lambda N / G values;
    a_g = sigmoid(w_g x_t + b_g) and a_g. = softmax over k of BN(W_g x_t) (Lin et al. 2018,
    equations 5 to 8; the batch norms are those of its public code).

    Args:
        size: N.
        clusters: K.
        groups: G; where it does not divide lambda N the frame is widened to the next multiple.
        expansion: lambda.
    """

    def __init__(self, size: int, clusters: int, groups: int, expansion: int) -> None:
        super().__init__()
        self.group_size = math.ceil(expansion * size / groups)
        self.size = clusters * self.group_size
        width = groups * self.group_size
        self.expand = nn.Linear(size, width)
        self.attention = nn.Linear(width, groups)
        self.assignment = nn.Linear(width, groups * clusters, bias=False)
        self.assignment_norm = MaskedBatchNorm(groups * clusters)
        self.centers = nn.Parameter(torch.empty(clusters, self.group_size))
        self.norm = MaskedBatchNorm(self.size)
        for linear in (self.expand, self.attention, self.assignment):
            nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features))
        nn.init.zeros_(self.expand.bias)
        nn.init.zeros_(self.attention.bias)
        nn.init.normal_(self.centers, std=1 / math.sqrt(clusters))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (B, T, N) to descriptors (B, K * D')."""
        # Not len(x): an exporter would take the number of clips for a constant.
        batch = x.shape[0]
        x = self.expand(x)
        shares = self._shares(x, mask).view(batch, -1, len(self.centers))
        mass = shares.sum(dim=1, dtype=torch.float32)[..., None]
        # Every group of every frame is a frame of D' values: one matrix product sums them all.
        sums = weighted_sums(shares, x.view(batch, -1, self.group_size))
        return self.norm(unit_length(sums - mass * self.centers).flatten(1))

    def _shares(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Widened frames (B, T, G D') to the clusters' shares in their groups (B, T, G, K)."""
        attention = torch.sigmoid(self.attention(x))
        if mask is not None:
            attention = attention * mask[..., None]
        scores = self.assignment_norm(self.assignment(x), mask)
        grouped = scores.view(*attention.shape, len(self.centers))
        return torch.softmax(grouped, dim=-1) * attention[..., None]


class SqueezedGating(nn.Module):
    """x * sigmoid(W2 relu(BN(W1 x))): SE context gating (Lin et al. 2018).

    W1 has `size` // `reduction` units, one at least.
    """

    def __init__(self, size: int, reduction: int) -> None:
        super().__init__()
        width = max(1, size // reduction)
        self.squeeze = nn.Linear(size, width, bias=False)
        self.norm = MaskedBatchNorm(width)
        self.expand = nn.Linear(width, size, bias=False)
        nn.init.normal_(self.squeeze.weight, std=1 / math.sqrt(size))
        nn.init.normal_(self.expand.weight, std=1 / math.sqrt(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to (B, H)."""
        gates = self.expand(functional.relu(self.norm(self.squeeze(x))))
        return x * torch.sigmoid(gates)


@register("nextvlad", NeXtVLADConfig)
class NeXtVLAD(FamilyModule):
    """NeXtVLAD a stream, hidden layer (linear, BN), SE context gating, head (Lin et al. 2018)."""

    def __init__(self, config: NeXtVLADConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        clusters = self.cluster_counts(config.clusters, config.divisor)
        groups = [config.groups, *[max(1, config.groups // config.divisor)] * (len(clusters) - 1)]
        self.pooling = PooledStreams(
            NeXtVLADPooling(size, count, own, config.expansion)
            for (size, count), own in zip(clusters, groups, strict=True)
        )
        width = self.pooling.size
        self.dropout = Dropout(config.dropout)
        self.hidden = nn.Linear(width, config.hidden, bias=False)
        self.norm = MaskedBatchNorm(config.hidden)
        nn.init.normal_(self.hidden.weight, std=1 / math.sqrt(width))
        self.gating: nn.Module = nn.Identity()
        if config.gating_reduction:
            self.gating = SqueezedGating(config.hidden, config.gating_reduction)
        self.classifier = Classifier(config.hidden, schema.num_labels, head=config.head)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        pooled = self.dropout(self.pooling(*self.frames(features, mask)))
        return self.classifier(self.gating(self.norm(self.hidden(pooled))))
