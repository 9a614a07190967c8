"""The LSTM on the means against torch's LSTM over sequences of one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.lstm import LSTM, FirstStep, LSTMConfig
from records.schema import Schema


def copy_into_torch(step: FirstStep, lstm: nn.LSTM) -> None:
    """Input, cell and output gates of each direction; what is left as it is must not matter."""
    hidden = lstm.hidden_size
    for direction, suffix in enumerate(["l0", "l0_reverse"][: 1 + lstm.bidirectional]):
        own = slice(direction * hidden, (direction + 1) * hidden)
        for mine, theirs in zip(range(3), (0, 2, 3), strict=True):
            rows = slice(theirs * hidden, (theirs + 1) * hidden)
            getattr(lstm, f"weight_ih_{suffix}")[rows] = step.gates.weight.chunk(3)[mine][own]
            getattr(lstm, f"bias_ih_{suffix}")[rows] = step.gates.bias.chunk(3)[mine][own]
            getattr(lstm, f"bias_hh_{suffix}")[rows] = 0


@pytest.mark.parametrize("bidirectional", [False, True])
@torch.no_grad()
def test_it_is_torchs_lstm_over_a_sequence_of_one(
    schema: Schema, features: dict[str, Tensor], bidirectional: bool
) -> None:
    torch.manual_seed(0)
    config = LSTMConfig(hidden=5, bidirectional=bidirectional, input_norm="none")
    model: Any = LSTM(config, schema).eval()
    outputs = []
    for step, name in zip(model.steps, ("image", "sound"), strict=True):
        means = features[name].mean(dim=1)
        lstm = nn.LSTM(means.shape[1], 5, batch_first=True, bidirectional=bidirectional)
        step.gates.bias.normal_()
        copy_into_torch(step, lstm)
        outputs.append(lstm(means[:, None])[0][:, 0])
    expected = model.classifier(torch.cat(outputs, dim=1))
    torch.testing.assert_close(model(features), expected, atol=1e-6, rtol=1e-5)


def test_gradients_are_those_of_torchs_lstm() -> None:
    torch.manual_seed(0)
    step = FirstStep(6, 4)
    lstm: Any = nn.LSTM(6, 4, batch_first=True)
    with torch.no_grad():
        copy_into_torch(step, lstm)
    x = torch.randn(3, 6)
    step(x).square().sum().backward()
    lstm(x[:, None])[0].square().sum().backward()
    into, forget, cell, out = lstm.weight_ih_l0.grad.split(4)
    torch.testing.assert_close(step.gates.weight.grad, torch.cat([into, cell, out]))
    assert not forget.any() and not lstm.weight_hh_l0.grad.any()


def test_means_are_standardized_a_stream(schema: Schema, features: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    model = LSTM(LSTMConfig(hidden=5, dropout=0.0), schema).train()
    scaled = {"image": features["image"] * 40 + 3, "sound": features["sound"]}
    torch.testing.assert_close(model(scaled), model(features), atol=2e-3, rtol=2e-3)
