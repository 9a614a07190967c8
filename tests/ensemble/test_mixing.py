from __future__ import annotations

import numpy as np
import pytest
import torch

from ensemble import EnsembleError, mix


def test_probabilities_are_mixed() -> None:
    log_odds = torch.randn(3, 4, 5, dtype=torch.float64)
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    wanted = torch.einsum("m,mbv->bv", weights, torch.sigmoid(log_odds))
    assert torch.allclose(torch.sigmoid(mix(log_odds, weights)), wanted)


def test_log_odds_are_mixed() -> None:
    log_odds = torch.randn(2, 4, 5)
    wanted = 0.25 * log_odds[0] + 0.75 * log_odds[1]
    assert torch.allclose(mix(log_odds, [0.25, 0.75], "log_odds"), wanted)


def test_one_member_is_itself() -> None:
    log_odds = torch.linspace(-60, 60, 41)[None, None]
    assert torch.allclose(mix(log_odds, [1.0]), log_odds[0], rtol=1e-6, atol=1e-6)


def test_scores_near_one_do_not_tie() -> None:
    # As float32 probabilities all of these are 1.0.
    log_odds = torch.arange(18.0, 80.0)[None, None].repeat(2, 1, 1)
    log_odds[1] += 0.5
    mixed = mix(log_odds, [0.5, 0.5])[0]
    assert (mixed[1:] > mixed[:-1]).all()


def test_extreme_log_odds_stay_finite() -> None:
    log_odds = torch.tensor([[[-1e6, 1e6, 0.0]], [[-1e6, 1e6, 0.0]]])
    assert torch.isfinite(mix(log_odds, [0.5, 0.5])).all()


def test_a_member_without_weight_changes_nothing() -> None:
    log_odds = torch.randn(3, 2, 4)
    for mode in ("probability", "log_odds"):
        assert torch.equal(
            mix(log_odds, [0.4, 0.0, 0.6], mode), mix(log_odds[[0, 2]], [0.4, 0.6], mode)
        )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, 0.4], "sum to 1"),
        ([1.5, -0.5], "not negative"),
        ([np.nan, 1.0], "finite"),
        ([1.0], "2 members"),
    ],
)
def test_wrong_weights_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(EnsembleError, match=message):
        mix(torch.zeros(2, 1, 3), weights)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(EnsembleError, match=r"'median'.*probability, log_odds"):
        mix(torch.zeros(1, 1, 3), [1.0], "median")
