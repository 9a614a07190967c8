"""LSTM families over frames against loops over torch's cells, clip by clip."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.bilstm import BiLSTM, BiLSTMConfig
from families.stream_lstm import StreamLSTM, StreamLSTMConfig
from families.stream_lstm_fc import StreamLSTMFC, StreamLSTMFCConfig, mean_log_odds
from records.schema import Schema

LENGTHS = [8, 5, 3, 1, 0]
CELL_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def cell_outputs(lstm: nn.LSTM, suffix: str, frames: list[Tensor]) -> list[Tensor]:
    """One direction of one layer, frame by frame, with torch's single-step cell."""
    weights = {name: getattr(lstm, f"{name}_{suffix}") for name in CELL_WEIGHTS}
    cell = nn.LSTMCell(weights["weight_ih"].shape[1], lstm.hidden_size)
    cell.load_state_dict(weights)
    state: Any = None
    outputs = []
    for frame in frames:
        state = cell(frame, state)
        outputs.append(state[0])
    return outputs


def loop_last_outputs(lstm: nn.LSTM, clip: Tensor) -> Tensor:
    """The last layer's last output forward, and backward if it reads so; zeros for no frames."""
    if not len(clip):
        return torch.zeros(lstm.hidden_size * (1 + lstm.bidirectional))
    frames = list(clip)
    for layer in range(lstm.num_layers):
        ahead = cell_outputs(lstm, f"l{layer}", frames)
        if not lstm.bidirectional:
            frames, last = ahead, ahead[-1]
            continue
        back = cell_outputs(lstm, f"l{layer}_reverse", frames[::-1])[::-1]
        last = torch.cat([ahead[-1], back[0]])
        frames = [torch.cat(pair) for pair in zip(ahead, back, strict=True)]
    return last


@torch.no_grad()
def test_bilstm_is_the_loop(schema: Schema, features: Any, mask: Tensor) -> None:
    torch.manual_seed(0)
    model: Any = BiLSTM(BiLSTMConfig(hidden=5, dense=9), schema).eval()
    joined = torch.cat([features["image"], features["sound"]], dim=2)
    log_odds = model(features, mask)
    for row, length in enumerate(LENGTHS):
        outputs = loop_last_outputs(model.net.lstm, joined[row, :length])
        hidden = (model.dense[0].weight @ outputs + model.dense[0].bias).clamp(min=0)
        expected = model.classifier(hidden[None])[0]
        torch.testing.assert_close(log_odds[row], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bidirectional", [True, False])
@torch.no_grad()
def test_stream_lstm_is_the_loop_a_stream(
    schema: Schema, features: Any, mask: Tensor, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    model: Any = StreamLSTM(StreamLSTMConfig(hidden=10, bidirectional=bidirectional), schema).eval()
    log_odds = model(features, mask)
    for row, length in enumerate(LENGTHS):
        parts = []
        for branch, name in zip(model.branches, ("image", "sound"), strict=True):
            clip = features[name][row, :length]
            dense = (clip @ branch.entrance[0].weight.T + branch.entrance[0].bias).clamp(min=0)
            outputs = loop_last_outputs(branch.net.lstm, dense)
            parts.append((branch.exit[0].weight @ outputs + branch.exit[0].bias).clamp(min=0))
        expected = model.classifier(torch.cat(parts)[None])[0]
        torch.testing.assert_close(log_odds[row], expected, atol=1e-6, rtol=1e-5)


def test_branches_have_units_in_proportion(schema: Schema) -> None:
    model: Any = StreamLSTM(StreamLSTMConfig(hidden=20), schema)
    assert [branch.net.lstm.hidden_size for branch in model.branches] == [20, 12]
    assert model.classifier.head.classifier.linear.in_features == 32


def test_streams_meet_only_in_the_head(schema: Schema, features: dict[str, Tensor]) -> None:
    model: Any = StreamLSTM(StreamLSTMConfig(hidden=10), schema).train()
    model.branches[0](features["image"], None).sum().backward()
    assert all(p.grad is None for p in model.branches[1].parameters())
    assert all(p.grad is not None for p in model.branches[0].parameters())


@torch.no_grad()
def test_both_parts_probabilities_are_averaged(
    schema: Schema, features: dict[str, Tensor], mask: Tensor
) -> None:
    model: Any = StreamLSTMFC(StreamLSTMFCConfig(), schema).eval()
    parts = [model.stream_lstm(features, mask), model.perceptron(features, mask)]
    expected = (parts[0].sigmoid() + parts[1].sigmoid()) / 2
    torch.testing.assert_close(model(features, mask).sigmoid(), expected)


def test_mean_log_odds_against_float64() -> None:
    grid = torch.tensor([-30.0, -12.0, -1.0, 0.0, 0.3, 9.0, 25.0], dtype=torch.float64)
    first, second = torch.meshgrid(grid, grid, indexing="ij")
    yes = (first.sigmoid() + second.sigmoid()) / 2
    no = ((-first).sigmoid() + (-second).sigmoid()) / 2
    got = mean_log_odds(first.float(), second.float())
    torch.testing.assert_close(got.double(), yes.log() - no.log(), atol=2e-6, rtol=1e-6)


def test_mean_log_odds_of_extremes() -> None:
    first = torch.tensor([200.0, -200.0, 200.0], requires_grad=True)
    second = torch.tensor([200.0, -200.0, -200.0], requires_grad=True)
    got = mean_log_odds(first, second)
    torch.testing.assert_close(got, torch.tensor([200.0, -200.0, 0.0]))
    got.sum().backward()
    assert first.grad is not None and first.grad.isfinite().all()
