"""Two-layer bidirectional LSTM over the joined frames."""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.codec import Depth, Positive
from families.base import FamilyModule, Features
from families.layers.classifier import ClassifierConfig, classifier_of
from families.layers.recurrent import LastOutputs, dense_layer, state_of
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class BiLSTMConfig(ClassifierConfig):
    """Hyperparameters of the bidirectional LSTM.

    Attributes:
        hidden: units of a layer, in each direction.
        layers: how many, one upon the other.
        dense: units of the dense layer behind them.
    """

    hidden: Positive = 256
    layers: Depth = 2
    dense: Positive = 512


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

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        frames, mask = self.frames(features, mask)
        lengths = None if mask is None else mask.sum(dim=1)
        outputs = state_of(self.net, torch.cat(frames, dim=2), lengths)
        return self.classifier(self.dense(outputs))
