"""A perceptron on the means of the streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from families.base import FamilyModule
from families.config import require_share, require_sizes
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.classifier import Classifier
from families.layers.heads import HeadConfig
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

    decoder: tuple[int, ...] = ()
    hidden: tuple[int, ...] = (1024,)
    input_norm: Literal["none", "batch", "length"] = "batch"
    norm: Literal["none", "batch", "layer"] = "none"
    activation: Literal["relu", "leaky_relu", "gelu"] = "relu"
    residual: bool = False
    input_dropout: float = 0.0
    dropout: float = 0.5
    gating: bool = False
    head: HeadConfig = field(default_factory=lambda: HeadConfig(kind="logistic"))

    def __post_init__(self) -> None:
        require_sizes(self, "decoder", "hidden")
        require_share(self, "input_dropout", "dropout")


NORMS = {"none": nn.Identity, "batch": MaskedBatchNorm, "layer": nn.LayerNorm}
ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU}


class HiddenLayer(nn.Module):
    """Linear, norm, activation, dropout; plus its input where that is wanted and fits."""

    def __init__(self, size: int, units: int, config: PerceptronConfig) -> None:
        super().__init__()
        self.residual = config.residual and size == units
        # A batch norm takes the mean away, and with it a bias.
        linear = nn.Linear(size, units, bias=config.norm != "batch")
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        if config.norm != "batch":
            nn.init.zeros_(linear.bias)
        self.layers = nn.Sequential(
            linear,
            NORMS[config.norm](units),
            ACTIVATIONS[config.activation](),
            nn.Dropout(config.dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, size) to (B, units)."""
        out: Tensor = self.layers(x)
        return x + out if self.residual else out


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
    return nn.Sequential(*(HiddenLayer(*pair, config) for pair in pairwise(sizes)))
