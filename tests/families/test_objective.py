"""Cross entropy on sparse labels against torch's on dense ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from families import HardLabels
from records import Batch


class Fixed(nn.Module):
    """Gives log-odds that were fixed before."""

    def __init__(self, log_odds: Tensor) -> None:
        super().__init__()
        self.log_odds = nn.Parameter(log_odds)

    def forward(self, features: object, mask: object) -> Tensor:
        return self.log_odds


def make_batch(clips: int = 6, num_labels: int = 11) -> Batch:
    dense = torch.rand(clips, num_labels) < 0.3
    dense[0] = False
    return Batch(
        ids=[f"clip{n}" for n in range(clips)],
        features={},
        mask=None,
        labels=dense.nonzero(),
        num_labels=num_labels,
        quantized_min=-2.0,
        quantized_max=2.0,
    )


def test_hard_labels_is_the_sum_of_binary_cross_entropies() -> None:
    torch.manual_seed(0)
    batch = make_batch()
    model = Fixed(5 * torch.randn(6, 11))
    loss, output = HardLabels()(model, batch)
    loss.backward()
    sparse = model.log_odds.grad
    model.log_odds.grad = None
    reference = F.binary_cross_entropy_with_logits(
        model.log_odds, batch.dense_labels(), reduction="sum"
    )
    (reference / 6).backward()
    torch.testing.assert_close(loss, reference.detach() / 6)
    torch.testing.assert_close(sparse, model.log_odds.grad)
    assert output is not None and output.shape == (6, 11)
