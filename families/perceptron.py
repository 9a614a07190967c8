"""A perceptron on the means of the streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from common.codec import Positive, Share
from families.base import FamilyModule
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.classifier import Classifier
from families.layers.heads import HeadConfig
from families.layers.hidden import Activation, HiddenLayer, Norm
from families.layers.inputs import InputNorm
from families.layers.pooling import unit_length
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class PerceptronConfig:
    """Hyperparameters of the perceptron.

    Attributes:
        decoder: units of the layers that each stream passes by itself before they are joined; as
            the hidden ones else. They widen the streams, towards the number of labels.
        hidden: units of every hidden layer; none leaves the head alone on the means.
        input_norm: of each stream's mean: "none", "batch" (standardized) or "length" (L2).
        norm: in each hidden layer, before the activation: "none", "batch" or "layer".
        activation: "relu", "leaky_relu" or "gelu".
        residual: adds a hidden layer's input to its output where both have one size.
        input_dropout: of the inputs.
        dropout: behind every hidden layer.
        gating: context gating of the last hidden layer.
        head: the classifier.
    """

    decoder: tuple[Positive, ...] = ()
    hidden: tuple[Positive, ...] = (1024,)
    input_norm: InputNorm = "batch"
    norm: Norm = "none"
    activation: Activation = "relu"
    residual: bool = False
    input_dropout: Share = 0.0
    dropout: Share = 0.5
    gating: bool = False
    head: HeadConfig = field(default_factory=lambda: HeadConfig(kind="logistic"))


@register("perceptron", PerceptronConfig)
class Perceptron(FamilyModule):
    """Means of the streams, joined or each widened by a decoder first, hidden layers, head.

    The decoder is that of Chavez 2019, its section "Autoencoder (Decoder-Net)" and algorithm 1.
    """

    def __init__(self, config: PerceptronConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.input_norms = nn.ModuleList(
            MaskedBatchNorm(stream.size) if config.input_norm == "batch" else nn.Identity()
            for stream in self.streams
        )
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.decoders = nn.ModuleList()
        if config.decoder:
            self.decoders.extend(
                _layers([stream.size, *config.decoder], config) for stream in self.streams
            )
        widths = [config.decoder[-1] if config.decoder else s.size for s in self.streams]
        sizes = [sum(widths), *config.hidden]
        self.hidden = _layers(sizes, config)
        self.classifier = Classifier(
            sizes[-1],
            schema.num_labels,
            head=config.head,
            gating=config.gating,
            # Every hidden layer has its own dropout already.
            dropout=0.0,
        )

    def forward(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """See `FamilyModule.forward`."""
        means = self.means(features, mask)
        if self.config.input_norm == "length":
            means = [unit_length(x) for x in means]
        normed = [norm(x) for norm, x in zip(self.input_norms, means, strict=True)]
        x = self.input_dropout(torch.cat(normed, dim=1))
        if self.decoders:
            parts = x.split([stream.size for stream in self.streams], dim=1)
            decoded = [decode(part) for decode, part in zip(self.decoders, parts, strict=True)]
            x = torch.cat(decoded, dim=1)
        return self.classifier(self.hidden(x))


def _layers(sizes: list[int], config: PerceptronConfig) -> nn.Sequential:
    """The hidden layers from each size to the next."""
    return nn.Sequential(
        *(
            HiddenLayer(
                *pair,
                norm=config.norm,
                activation=config.activation,
                dropout=config.dropout,
                residual=config.residual,
            )
            for pair in pairwise(sizes)
        )
    )
