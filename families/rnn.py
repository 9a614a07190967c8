"""Recurrent families: stacked LSTM or GRU, bidirectional then forward, dual path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from common.codec import Depth, Share
from families.base import FamilyModule, Features
from families.errors import FamilyError
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.classifier import ClassifierConfig, classifier_of
from families.layers.pooling import NormedLinear
from families.layers.recurrent import Cell, State, last_state, recurrent_layer, state_of
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class RNNConfig(ClassifierConfig):
    """Hyperparameters of the recurrent families.

    Attributes:
        variant: "stacked" (`layers` forward layers over the joined streams: the public baseline),
            "bidirectional" (hidden / 2 + hidden / 2, then a forward layer of `hidden`) or "dual"
            (for each stream BN, linear, BN, relu6 and a bidirectional net of its own).
        cell: "lstm", or "gru" (that of torch: see `recurrent_layer`).
        state: which of an LSTM's last states the head sees, "hidden" or "cell". None is what the
            published code reads: the hidden one of "stacked" (`state[-1].h`, the YouTube-8M starter
            code's and the winners' LstmModel), the cell of "bidirectional" (`state[-1].c`, the
            winners' Lstmbidirect); "dual" was published with GRUs only, which have one state.
        hidden: units; in "dual" those of the widest stream, the others' in proportion to their
            size.
        layers: of the stacked variant.
    """

    # Before there was the field, every LSTM's cell state was read.
    BEFORE: ClassVar[Mapping[str, str]] = {"state": "cell"}

    variant: Literal["stacked", "bidirectional", "dual"] = "bidirectional"
    cell: Cell = "lstm"
    state: State | None = None
    hidden: Annotated[int, Ge(2)] = 512
    layers: Depth = 2
    dropout: Share = 0.0

    def __post_init__(self) -> None:
        if self.variant != "stacked" and self.hidden % 2:
            raise FamilyError(f"hidden must be even, for two directions, not {self.hidden}")


class StackedNet(nn.Module):
    """Forward layers one upon the other."""

    def __init__(self, size: int, hidden: int, cell: Cell, state: State, layers: int) -> None:
        super().__init__()
        self.state = state
        self.layers = recurrent_layer(size, hidden, cell, layers=layers)

    def forward(self, x: Tensor | PackedSequence) -> Tensor:
        """Frames (B, T, D) to the last layer's last state (B, H)."""
        return last_state(self.layers(x)[1], self.state)


class BidirectionalNet(nn.Module):
    """A bidirectional layer of H / 2 + H / 2, then a forward layer of H, which is even."""

    def __init__(self, size: int, hidden: int, cell: Cell, state: State) -> None:
        super().__init__()
        self.state = state
        self.both = recurrent_layer(size, hidden // 2, cell, bidirectional=True)
        self.forward_layer = recurrent_layer(hidden, hidden, cell)

    def forward(self, x: Tensor | PackedSequence) -> Tensor:
        """Frames (B, T, D) to the forward layer's last state (B, H)."""
        return last_state(self.forward_layer(self.both(x)[0])[1], self.state)


class ProjectedFrames(nn.Module):
    """BN, linear map to a stream's own size, BN, relu6 (the dual path's entrance)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = NormedLinear(size, size)
        self.norm = MaskedBatchNorm(size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return functional.relu6(self.norm(self.linear(x, mask), mask))


@register("rnn", RNNConfig, sampling="sequence")
class RNN(FamilyModule):
    """Recurrent net over the frames in their order, head on its last state."""

    def __init__(self, config: RNNConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        sizes = [stream.size for stream in self.streams]
        self.entrances = nn.ModuleList()
        self.nets = nn.ModuleList()
        width, cell = config.hidden, config.cell
        state = config.state or ("hidden" if config.variant == "stacked" else "cell")
        if config.variant == "stacked":
            self.nets.append(StackedNet(sum(sizes), width, cell, state, config.layers))
        elif config.variant == "bidirectional":
            self.nets.append(BidirectionalNet(sum(sizes), width, cell, state))
        else:
            # Even, for two directions.
            widths = [max(2, 2 * round(width * size / sizes[0] / 2)) for size in sizes]
            for size, units in zip(sizes, widths, strict=True):
                self.entrances.append(ProjectedFrames(size))
                self.nets.append(BidirectionalNet(size, units, cell, state))
            width = sum(widths)
        self.classifier = classifier_of(config, width, schema.num_labels)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        frames, mask = self.frames(features, mask)
        inputs = [torch.cat(frames, dim=2)]
        if self.config.variant == "dual":
            inputs = [net(x, mask) for net, x in zip(self.entrances, frames, strict=True)]
        lengths = None if mask is None else mask.sum(dim=1)
        nets = zip(self.nets, inputs, strict=True)
        states = torch.cat([state_of(net, x, lengths) for net, x in nets], dim=1)
        return self.classifier(states)
