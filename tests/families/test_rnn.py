"""Recurrent families against a loop over frames with torch's cells, and clips of all lengths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.layers.recurrent import recurrent_layer, state_of
from families.rnn import RNN, BidirectionalNet, RNNConfig, StackedNet
from records.schema import Schema

LENGTHS = torch.tensor([6, 2, 0, 4])


def cell_of(layer: nn.Module, suffix: str, size: int, hidden: int) -> Any:
    """torch's single-step cell with the weights of one layer and direction."""
    kind = nn.LSTMCell if isinstance(layer, nn.LSTM) else nn.GRUCell
    cell = kind(size, hidden)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data.copy_(getattr(layer, f"{name}_{suffix}"))
    return cell


def run_cell(cell: Any, frames: list[Tensor]) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The outputs at every frame, and the last states by name: a GRU has one."""
    state: Any = None
    outputs = []
    for frame in frames:
        state = cell(frame, state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    last = state if isinstance(state, tuple) else (state, state)
    return outputs, dict(zip(("hidden", "cell"), last, strict=True))


def loop_stacked(layers: nn.Module, clip: Tensor, hidden: int) -> dict[str, Tensor]:
    """Both of two layers' cells, frame by frame; the second one's last states."""
    below, _ = run_cell(cell_of(layers, "l0", clip.shape[1], hidden), list(clip))
    return run_cell(cell_of(layers, "l1", hidden, hidden), below)[1]


def loop_bidirectional(net: BidirectionalNet, clip: Tensor, hidden: int) -> dict[str, Tensor]:
    size = clip.shape[1]
    frames = list(clip)
    forward, _ = run_cell(cell_of(net.both, "l0", size, hidden // 2), frames)
    backward, _ = run_cell(cell_of(net.both, "l0_reverse", size, hidden // 2), frames[::-1])
    joined = [torch.cat(pair) for pair in zip(forward, backward[::-1], strict=True)]
    return run_cell(cell_of(net.forward_layer, "l0", hidden, hidden), joined)[1]


@pytest.mark.parametrize("state", ["hidden", "cell"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@torch.no_grad()
def test_bidirectional_net_is_the_loop(cell: Any, state: Any) -> None:
    torch.manual_seed(0)
    net = BidirectionalNet(5, 8, cell, state)
    x = torch.randn(4, 6, 5)
    states = state_of(net, x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = torch.zeros(8)
        if length:
            expected = loop_bidirectional(net, x[row, :length], 8)[state]
        torch.testing.assert_close(states[row], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("state", ["hidden", "cell"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@torch.no_grad()
def test_stacked_net_is_the_loop(cell: Any, state: Any) -> None:
    torch.manual_seed(0)
    net = StackedNet(5, 7, cell, state, layers=2)
    x = torch.randn(4, 6, 5)
    states = state_of(net, x, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = torch.zeros(7)
        if length:
            expected = loop_stacked(net.layers, x[row, :length], 7)[state]
        torch.testing.assert_close(states[row], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("variant", "state", "read"),
    [
        ("stacked", None, "hidden"),
        ("stacked", "cell", "cell"),
        ("bidirectional", None, "cell"),
        ("bidirectional", "hidden", "hidden"),
    ],
)
@torch.no_grad()
def test_the_head_sees_the_state_that_the_published_code_reads(
    variant: Any, state: Any, read: str, schema: Schema, features: dict[str, Tensor]
) -> None:
    torch.manual_seed(0)
    model: Any = RNN(RNNConfig(variant=variant, state=state, hidden=8), schema).eval()
    net, clip = model.nets[0], torch.cat([features["image"][0], features["sound"][0]], dim=1)
    states = (
        loop_stacked(net.layers, clip, 8)
        if variant == "stacked"
        else loop_bidirectional(net, clip, 8)
    )
    expected = model.classifier(states[read][None])[0]
    torch.testing.assert_close(model(features)[0], expected, atol=1e-6, rtol=1e-5)


def test_order_matters(schema: Schema, features: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    model = RNN(RNNConfig(hidden=8), schema).eval()
    backwards = {name: x.flip(1) for name, x in features.items()}
    assert not torch.allclose(model(features)[0], model(backwards)[0])


@pytest.mark.parametrize(("cell", "keeping"), [("lstm", [1]), ("gru", [0, 1])])
def test_it_starts_by_remembering(cell: Any, keeping: list[int]) -> None:
    layer = recurrent_layer(5, 4, cell, bidirectional=True)
    for suffix in ("l0", "l0_reverse"):
        total = getattr(layer, f"bias_ih_{suffix}") + getattr(layer, f"bias_hh_{suffix}")
        for gate, bias in enumerate(total.view(-1, 4)):
            assert (bias == (1.0 if gate in keeping else 0.0)).all()


def test_dual_path_gives_each_stream_its_own_net(schema: Schema) -> None:
    model: Any = RNN(RNNConfig(variant="dual", cell="gru", hidden=20), schema)
    assert [net.forward_layer.hidden_size for net in model.nets] == [20, 12]
    assert [entrance.linear.weight.shape for entrance in model.entrances] == [(10, 10), (6, 6)]
    assert model.classifier.head.classifier.linear.in_features == 32
