"""Two-layer bidirectional LSTM over the joined frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from common.codec import Positive, Share
from families.base import FamilyModule
from families.layers.classifier import classifier_of
from families.layers.heads import HeadConfig
from families.layers.recurrent import LastOutputs, dense_layer, state_of
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class BiLSTMConfig:
    """Hyperparameters of the bidirectional LSTM.

    Attributes:
        hidden: units of a layer, in each direction.
        layers: how many, one upon the other.
        dense: units of the dense layer behind them.
        gating: context gating of the dense layer's units.
        dropout: of the dense layer's units.
        head: the classifier.
    """

    hidden: Positive = 256
    layers: Positive = 2
    dense: Positive = 512
    gating: bool = False
    dropout: Share = 0.5
    head: HeadConfig = field(default_factory=lambda: HeadConfig(kind="logistic"))


@register("bilstm", BiLSTMConfig, sampling="sequence")
class BiLSTM(FamilyModule):
    """Streams joined frame by frame, LSTM layers in both directions, dense layer, head.

    The "Multi-Bidirectional LSTM" of Chavez 2019: the dense layer reads the last layer's last
    output of either direction.
    """

    def __init__(self, config: BiLSTMConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        size = sum(stream.size for stream in self.streams)
        self.net = LastOutputs(size, config.hidden, layers=config.layers, bidirectional=True)
        self.dense = dense_layer(self.net.size, config.dense)
        self.classifier = classifier_of(config, config.dense, schema.num_labels)

    def forward(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """See `FamilyModule.forward`."""
        frames, mask = self.frames(features, mask)
        lengths = None if mask is None else mask.sum(dim=1)
        outputs = state_of(self.net, torch.cat(frames, dim=2), lengths)
        return self.classifier(self.dense(outputs))
