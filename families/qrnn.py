"""Quasi-recurrent net: convolutions over time, and a recurrence without any weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.codec import Depth, Positive
from families.base import FamilyModule, Features
from families.layers.classifier import ClassifierConfig, classifier_of
from families.layers.fo_pooling import fo_pooling
from families.layers.groups import RECURRENT, in_group
from families.registry import register
from records.schema import Schema


@dataclass(frozen=True)
class QRNNConfig(ClassifierConfig):
    """Hyperparameters of the quasi-recurrent net.

    Attributes:
        hidden: units of a layer, in each direction.
        width: k, how many frames a convolution sees: a frame and the k - 1 before it.
        layers: how many, one upon the other.
        bidirectional: whether every layer reads in both directions.
    """

    hidden: Positive = 512
    width: Positive = 1
    layers: Depth = 1
    bidirectional: bool = False


@in_group(RECURRENT)
class QRNNLayer(nn.Module):
    """z = tanh(conv x), f = sigmoid(conv x), o = sigmoid(conv x); h = o c (Bradbury et al. 2016).

    c is a mean of the z so far, with weights that f sets: see `fo_pooling`. Frames come time first,
    since the recurrence goes through them one by one.
    """

    def __init__(self, size: int, hidden: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.hidden = hidden
        self.gates = nn.Linear(width * size, 3 * hidden)
        nn.init.xavier_uniform_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)
        # It starts by remembering, as the LSTMs here do. The gates' order is z, f, o.
        nn.init.ones_(self.gates.bias[hidden : 2 * hidden])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (T, B, D) and mask (T, B) to outputs (T, B, H); those of padding mean nothing."""
        return self._pool(self.gates(self._seen(x, mask)), mask)

    def last(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Each clip's output at its own last frame (B, H), zero where it has none.

        The output gate is computed for that frame only.
        """
        seen = self._seen(x, mask)
        if mask is None:
            final = seen[-1]
        else:
            frames, clips = (torch.arange(count, device=mask.device) for count in mask.shape)
            final = seen[(frames[:, None] * mask).amax(dim=0), clips]
        state, output = 2 * self.hidden, self.hidden
        weights, biases = (p.split([state, output]) for p in self.gates.parameters())
        # Padding hands the state on, so that it stands in the last row for every clip.
        states = self._pool(functional.linear(seen, weights[0], biases[0]), mask)[-1]
        return torch.sigmoid(functional.linear(final, weights[1], biases[1])) * states

    def _seen(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The frames side by side with those that the convolution sees before them, or zeros."""
        if self.width == 1:
            return x
        if mask is not None:
            x = x * mask[..., None]
        padded = functional.pad(x, (0, 0, 0, 0, self.width - 1, 0))
        # Not len(x): an exporter would take the number of frames for a constant.
        return torch.cat([padded[tap : tap + x.shape[0]] for tap in range(self.width)], dim=2)

    def _pool(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        # Half precision would lose a state that is summed up over hundreds of frames.
        return fo_pooling(scores.float(), mask, self.hidden)


class QRNNLevel(nn.Module):
    """One layer, or two that read in opposite directions, their outputs side by side."""

    def __init__(self, size: int, hidden: int, width: int, *, bidirectional: bool) -> None:
        super().__init__()
        self.ahead = QRNNLayer(size, hidden, width)
        self.back = QRNNLayer(size, hidden, width) if bidirectional else None

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (T, B, D) to (T, B, H), or (T, B, 2 H)."""
        if self.back is None:
            return self.ahead(x, mask)
        return torch.cat([self.ahead(x, mask), self.back(*_reversed(x, mask)).flip(0)], dim=2)

    def last(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Frames (T, B, D) to the last outputs (B, H), or (B, 2 H); backward: at the first frame.

        Zero for a clip without frames.
        """
        if self.back is None:
            return self.ahead.last(x, mask)
        return torch.cat([self.ahead.last(x, mask), self.back.last(*_reversed(x, mask))], dim=1)


def _reversed(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return x.flip(0), None if mask is None else mask.flip(0)


@register("qrnn", QRNNConfig, sampling="sequence")
class QRNN(FamilyModule):
    """Layers over the joined streams, head on the last one's last output (Goulani 2018)."""

    def __init__(self, config: QRNNConfig, schema: Schema) -> None:
        super().__init__(config, schema)
        size = sum(stream.size for stream in self.streams)
        outputs = config.hidden * (2 if config.bidirectional else 1)
        *below, top = (
            QRNNLevel(inputs, config.hidden, config.width, bidirectional=config.bidirectional)
            for inputs in [size, *[outputs] * (config.layers - 1)]
        )
        self.below = nn.ModuleList(below)
        self.top = top
        self.classifier = classifier_of(config, outputs, schema.num_labels)

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        frames, mask = self.frames(features, mask)
        x = torch.cat([stream.transpose(0, 1) for stream in frames], dim=2)
        mask = None if mask is None else mask.t()
        for level in self.below:
            x = level(x, mask)
        return self.classifier(self.top.last(x, mask))
