"""Context gating against its formula."""

from __future__ import annotations

import pytest
import torch

from families.layers.gating import ContextGating


@pytest.mark.parametrize("diagonal", [True, False])
def test_gating_is_a_product_with_a_sigmoid(diagonal: bool) -> None:
    torch.manual_seed(0)
    gating = ContextGating(5, diagonal=diagonal).eval()
    gating.norm.running_mean.normal_()
    gating.norm.running_var.uniform_(0.5, 2)
    x = torch.randn(3, 5)
    weight = gating.weight.detach().clone()
    if not diagonal:
        weight.fill_diagonal_(0)
    deviation = torch.sqrt(gating.norm.running_var + 1e-3)
    expected = x * torch.sigmoid((x @ weight.T - gating.norm.running_mean) / deviation)
    torch.testing.assert_close(gating(x), expected)
