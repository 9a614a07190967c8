"""Context gating against its formula."""

from __future__ import annotations

import torch

from families.layers.gating import ContextGating


def test_gating_is_a_product_with_a_sigmoid() -> None:
    torch.manual_seed(0)
    gating = ContextGating(5).eval()
    gating.norm.running_mean.normal_()
    gating.norm.running_var.uniform_(0.5, 2)
    x = torch.randn(3, 5)
    weight = gating.weight.detach()
    deviation = torch.sqrt(gating.norm.running_var + 1e-3)
    expected = x * torch.sigmoid((x @ weight.T - gating.norm.running_mean) / deviation)
    torch.testing.assert_close(gating(x), expected)
