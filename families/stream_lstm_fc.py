"""The perceptron on the means beside a Stream LSTM on the frames, probabilities averaged."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from families.base import FamilyModule, Features
from families.perceptron import Perceptron, PerceptronConfig
from families.registry import register
from families.stream_lstm import StreamLSTM, StreamLSTMConfig
from records.schema import Schema


@dataclass(frozen=True)
class StreamLSTMFCConfig:
    """Hyperparameters of the two parts.

    Attributes:
        stream_lstm: the part that reads the frames.
        perceptron: the part that reads their means.
    """

    stream_lstm: StreamLSTMConfig = field(default_factory=StreamLSTMConfig)
    perceptron: PerceptronConfig = field(default_factory=PerceptronConfig)


@register("stream_lstm_fc", StreamLSTMFCConfig, sampling="sequence")
class StreamLSTMFC(FamilyModule):
    """Stream LSTM and perceptron, each with its head (Chavez 2019, algorithm 4).

    A label's probability is the mean of the two parts', as the paper has it; they learn together,
    from the loss of that mean.
    """

    def __init__(self, config: StreamLSTMFCConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        self.stream_lstm = StreamLSTM(config.stream_lstm, schema)
        self.perceptron = Perceptron(config.perceptron, schema)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        return mean_log_odds(self.stream_lstm(features, mask), self.perceptron(features, mask))


def mean_log_odds(first: Tensor, second: Tensor) -> Tensor:
    """Log-odds of (sigmoid(a) + sigmoid(b)) / 2.

    Probability and counter-probability are summed apart, in logarithms: neither saturates, and the
    halves cancel.
    """
    yes = torch.logaddexp(functional.logsigmoid(first), functional.logsigmoid(second))
    no = torch.logaddexp(functional.logsigmoid(-first), functional.logsigmoid(-second))
    return yes - no
