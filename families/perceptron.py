"""A perceptron on the means of the streams."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from common.codec import Positive
from families.base import FamilyModule, Features
from families.layers.classifier import Classifier
from families.layers.dropout import Dropout
from families.layers.hidden import Activation, HiddenLayer, Norm
from families.layers.inputs import MeansConfig, NormedStreams
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class PerceptronConfig(MeansConfig):
    """Hyperparameters of the perceptron.

    Attributes:
        decoder: units of the layers that each stream passes by itself before they are joined; as
            the hidden ones else. They widen the streams, towards the number of labels.
        hidden: units of every hidden layer; none leaves the head alone on the means.
        norm: in each hidden layer, before the activation: "none", "batch" or "layer".
        activation: "relu", "leaky_relu" or "gelu".
        residual: adds a hidden layer's input to its output where both have one size.
    """

    decoder: tuple[Positive, ...] = ()
    hidden: tuple[Positive, ...] = (1024,)
    norm: Norm = "none"
    activation: Activation = "relu"
    residual: bool = False


@register("perceptron", PerceptronConfig)
class Perceptron(FamilyModule):
    """Means of the streams, joined or each widened by a decoder first, hidden layers, head.

    The decoder is that of Chavez 2019, its section "Autoencoder (Decoder-Net)" and algorithm 1.
    """

    def __init__(self, config: PerceptronConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.input_norms = NormedStreams(self.streams, config.input_norm)
        self.input_dropout = Dropout(config.input_dropout)
        self.decoders = nn.ModuleList()
        if config.decoder:
            self.decoders.extend(
                _layers([stream.size, *config.decoder], config) for stream in self.streams
            )
        widths = [config.decoder[-1] if config.decoder else s.size for s in self.streams]
        sizes = [sum(widths), *config.hidden]
        self.hidden = _layers(sizes, config)
        # Every hidden layer has its own dropout already.
        self.classifier = Classifier(
            sizes[-1], schema.num_labels, head=config.head, gating=config.gating
        )

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        means = self.input_norms(self.means(features, mask))
        x = self.input_dropout(torch.cat(means, dim=1))
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
