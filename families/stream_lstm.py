"""Stream LSTM: dense layer, LSTM, dense layer a stream."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.codec import Positive
from families.base import FamilyModule, Features
from families.layers.classifier import ClassifierConfig, classifier_of
from families.layers.recurrent import LastOutputs, dense_layer, state_of
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class StreamLSTMConfig(ClassifierConfig):
    """Hyperparameters of the Stream LSTM.

    Attributes:
        hidden: units of each of the three layers of the widest stream's branch (of the LSTM: in
            each direction); the other branches have them in proportion to their stream's size.
        bidirectional: whether the LSTM reads in both directions, as in Chavez 2019.
    """

    hidden: Positive = 512
    bidirectional: bool = True


class StreamBranch(nn.Module):
    """One stream's way: dense layer on every frame, LSTM, dense layer on its last output."""

    def __init__(self, size: int, hidden: int, *, bidirectional: bool) -> None:
        super().__init__()
        self.entrance = dense_layer(size, hidden)
        self.net = LastOutputs(hidden, hidden, layers=1, bidirectional=bidirectional)
        self.exit = dense_layer(self.net.size, hidden)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Frames (B, T, D) and how many of them are real (B,) to (B, H)."""
        return self.exit(state_of(self.net, self.entrance(x), lengths))


@register("stream_lstm", StreamLSTMConfig, sampling="sequence")
class StreamLSTM(FamilyModule):
    """A branch a stream, joined only before the head (Chavez 2019, "Stream LSTM")."""

    def __init__(self, config: StreamLSTMConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        sizes = [stream.size for stream in self.streams]
        widths = [max(1, round(config.hidden * size / sizes[0])) for size in sizes]
        self.branches = nn.ModuleList(
            StreamBranch(size, units, bidirectional=config.bidirectional)
            for size, units in zip(sizes, widths, strict=True)
        )
        self.classifier = classifier_of(config, sum(widths), schema.num_labels)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        frames, mask = self.frames(features, mask)
        lengths = None if mask is None else mask.sum(dim=1)
        parts = [branch(x, lengths) for branch, x in zip(self.branches, frames, strict=True)]
        return self.classifier(torch.cat(parts, dim=1))
