"""Parts that the recurrent families share: layers, last states, dense layers around them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

Cell = Literal["lstm", "gru"]
State = Literal["hidden", "cell"]


class LastOutputs(nn.Module):
    """LSTM layers; what the last of them puts out last, in each direction.

    The backward direction's last output is the one at the first frame (Keras'
    `return_sequences=False`), where it has seen the whole clip.
    """

    def __init__(self, size: int, hidden: int, *, layers: int, bidirectional: bool) -> None:
        super().__init__()
        self.lstm = recurrent_layer(
            size, hidden, "lstm", layers=layers, bidirectional=bidirectional
        )
        self.directions = 2 if bidirectional else 1
        self.size = self.directions * hidden

    def forward(self, x: Tensor | PackedSequence) -> Tensor:
        """Frames (B, T, D) to (B, H), or (B, 2 H) in two directions: forward, backward."""
        _, (outputs, _) = self.lstm(x)
        return outputs[-self.directions :].transpose(0, 1).flatten(1)


def dense_layer(size: int, units: int) -> nn.Sequential:
    """Linear, ReLU."""
    linear = nn.Linear(size, units)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, nn.ReLU())


def state_of(net: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
    """The net's last state after each clip's own last frame; zero for a clip without frames.

    Args:
        net: from frames (padded or packed) to states (B, H).
        x: frames (B, T, D).
        lengths: int (B,), the number of real frames; None when all are.
    """
    if lengths is None:
        return net(x)
    # A packed clip has at least one frame: an empty one's state is computed and thrown away.
    packed = pack_padded_sequence(
        x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
    )
    return torch.where((lengths > 0)[:, None], net(packed), 0.0)


def recurrent_layer(
    size: int, hidden: int, cell: Cell, *, layers: int = 1, bidirectional: bool = False
) -> nn.LSTM | nn.GRU:
    """An LSTM or GRU that starts by remembering: the gates that keep the state have bias 1.

    torch's GRU resets what comes out of the recurrent matrix, tanh(W x + r * (U h)); that of Cho et
    al. 2014, TensorFlow's `GRUCell` and with it the published models, what goes in,
    tanh(W x + U (r * h)). cuDNN has the former only.
    """
    layer = nn.LSTM if cell == "lstm" else nn.GRU
    net = layer(size, hidden, num_layers=layers, batch_first=True, bidirectional=bidirectional)
    # torch orders an LSTM's gates input, forget, cell, output and a GRU's reset, update, new.
    keeping = slice(hidden, 2 * hidden) if cell == "lstm" else slice(0, 2 * hidden)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith("bias"):
                parameter.zero_()
            if name.startswith("bias_ih"):
                parameter[keeping] = 1.0
    return net


def last_state(state: Tensor | tuple[Tensor, Tensor], which: State) -> Tensor:
    """The last layer's hidden or cell state (LSTM), or its only one (GRU), (B, H)."""
    if isinstance(state, tuple):
        hidden, cell = state
        state = hidden if which == "hidden" else cell
    return state[-1]
