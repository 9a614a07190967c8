"""DMRNet: fully connected blocks with merge-and-run mappings, a branch a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional

from common.codec import Positive, Share
from families.base import FamilyModule, Features
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.classifier import ClassifierConfig, classifier_of
from families.layers.hidden import HiddenLayer
from families.registry import register
from records.schema import Schema

START = 0.1  # the scale of a mapping's blocks at first


@dataclass(frozen=True)
class DMRNetConfig(ClassifierConfig):
    """Hyperparameters of DMRNet.

    Attributes:
        depth: mappings one upon the other, 2 to 12.
        hidden: units of every block; each stream has blocks of its own.
        mapping: "merge" (Zhao et al. 2016) or "average" (Teong, Matsunaga & Zheng 2020): see
            `MergeAndRun`.
        block_dropout: in every block.
    """

    depth: Annotated[int, Ge(2), Le(12)] = 8
    hidden: Positive = 1024
    mapping: Literal["merge", "average"] = "merge"
    block_dropout: Share = 0.1


class MergeAndRun(nn.Module):
    """One mapping: a block a stream, and what passes beside the blocks.

    "merge" is the published mapping, x_s <- H_s(x_s) + M x, where M x is the mean of all streams
    (Zhao et al. 2016, equation 4): M is idempotent, so that however many mappings follow, a
    stream's mean is kept whole beside the blocks. "average" is what Teong, Matsunaga & Zheng 2020
    describe, x_s <- leaky((H_s(x_s) + x_s) / 2): each mapping halves what passes beside the block,
    and eight of them leave a 256th. Theirs did not converge.

    The blocks of "merge" start small, as in Goyal et al. 2017: at first the net is nearly its
    entrance alone, a perceptron of one layer, and converges as that does at any depth. With blocks
    at full scale eight random ones bury what the entrance found.
    """

    def __init__(self, config: DMRNetConfig, streams: int) -> None:
        super().__init__()
        self.average = config.mapping == "average"
        self.blocks = nn.ModuleList(fc_block(config.hidden, config) for _ in range(streams))
        if not self.average:
            for module in self.blocks.modules():
                if isinstance(module, MaskedBatchNorm):
                    nn.init.constant_(module.weight, START)

    def forward(self, streams: list[Tensor]) -> list[Tensor]:
        """Streams (B, H) to streams (B, H)."""
        changes = [block(x) for block, x in zip(self.blocks, streams, strict=True)]
        if self.average:
            pairs = zip(changes, streams, strict=True)
            return [functional.leaky_relu((change + x) / 2) for change, x in pairs]
        merged = torch.stack(streams).mean(dim=0)
        return [change + merged for change in changes]


@register("dmrnet", DMRNetConfig)
class DMRNet(FamilyModule):
    """A block a stream on its mean, mappings, streams joined, BN and leaky ReLU, head.

    The batch norm takes away the scale and the offset that grow with depth, under which a head
    starts far from its `prior`. The leaky ReLU behind it, the end of every net whose blocks add
    (He et al. 2016), gives back an offset of the size of one layer's: on features around zero only
    the head's bias could learn how frequent each label is, and Adam moves a bias slowly.
    """

    def __init__(self, config: DMRNetConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        count = len(self.streams)
        self.entrances = nn.ModuleList(fc_block(stream.size, config) for stream in self.streams)
        self.mappings = nn.Sequential(*(MergeAndRun(config, count) for _ in range(config.depth)))
        self.norm = MaskedBatchNorm(count * config.hidden)
        self.classifier = classifier_of(config, count * config.hidden, schema.num_labels)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        means = self.means(features, mask)
        streams = [block(x) for block, x in zip(self.entrances, means, strict=True)]
        joined = torch.cat(self.mappings(streams), dim=1)
        return self.classifier(functional.leaky_relu(self.norm(joined)))


def fc_block(size: int, config: DMRNetConfig) -> HiddenLayer:
    """Linear map to the net's units, batch norm, leaky ReLU, dropout."""
    return HiddenLayer(
        size, config.hidden, norm="batch", activation="leaky_relu", dropout=config.block_dropout
    )
