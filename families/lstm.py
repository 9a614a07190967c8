"""LSTM on the means: each stream's mean vector as a sequence of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from common.codec import Positive
from families.base import FamilyModule, Features
from families.layers.classifier import ClassifierConfig, classifier_of
from families.layers.groups import RECURRENT, in_group
from families.layers.inputs import NormedStreams
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class LSTMConfig(ClassifierConfig):
    """Hyperparameters of the LSTM on the means.

    Attributes:
        hidden: units of each stream's LSTM, in each direction.
        bidirectional: whether a second LSTM reads the sequence from its end.
        input_norm: of each stream's mean: "none" or "batch" (standardized).
    """

    hidden: Positive = 1024
    bidirectional: bool = False
    input_norm: Literal["none", "batch"] = "batch"


@in_group(RECURRENT)
class FirstStep(nn.Module):
    """The step of an LSTM whose state is zero: c = i g, h = o tanh(c).

    A sequence of one has no other. The recurrent matrix meets a state of zero and the forget gate
    a cell of zero, so neither could learn anything: they are left out.
    """

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.gates = nn.Linear(size, 3 * hidden)
        nn.init.xavier_uniform_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to (B, H). The gates' order is input, cell, output."""
        into, cell, out = self.gates(x).chunk(3, dim=1)
        return torch.sigmoid(out) * torch.tanh(torch.sigmoid(into) * torch.tanh(cell))


@register("lstm", LSTMConfig)
class LSTM(FamilyModule):
    """An LSTM or bidirectional LSTM a stream, outputs joined, head (Teong et al. 2020).

    Both directions read the same one vector, each with its own weights and nothing between them:
    together they are one step of twice the units.
    """

    def __init__(self, config: LSTMConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        units = config.hidden * (2 if config.bidirectional else 1)
        self.norms = NormedStreams(self.streams, config.input_norm)
        self.steps = nn.ModuleList(FirstStep(stream.size, units) for stream in self.streams)
        self.classifier = classifier_of(config, len(self.streams) * units, schema.num_labels)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        means = self.norms(self.means(features, mask))
        outputs = [step(x) for step, x in zip(self.steps, means, strict=True)]
        return self.classifier(torch.cat(outputs, dim=1))
