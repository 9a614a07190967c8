"""Cross entropy on sparse labels against torch's on dense ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from families import FamilyModule
from records import Batch
from records.schema import Schema, Stream
from tests.conftest import dense_labels
from training.objective import HardLabels


class Fixed(FamilyModule):
    """Gives log-odds that were fixed before."""

    def __init__(self, log_odds: Tensor) -> None:
        super().__init__(None, Schema("fixed", "video", (Stream("x", 1),), log_odds.shape[1]))
        self.log_odds = nn.Parameter(log_odds)

    def forward(self, features: object, mask: object = None) -> Tensor:
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
        model.log_odds, dense_labels(batch), reduction="sum"
    )
    (reference / 6).backward()
    torch.testing.assert_close(loss, reference.detach() / 6)
    torch.testing.assert_close(sparse, model.log_odds.grad)
    assert output is not None and output.shape == (6, 11)


class TwoStages(Fixed):
    """Has a first stage that counts less, and weighs its labels."""

    def __init__(self, first: Tensor, last: Tensor) -> None:
        super().__init__(last)
        self.first = nn.Parameter(first)
        self.weights = nn.Parameter(torch.rand(last.shape[1]))

    def training_outputs(self, features: object, mask: object = None) -> list[tuple[float, Tensor]]:
        return [(0.25, self.first), (1.0, self.log_odds)]

    def total_loss(self, label_losses: Tensor) -> Tensor:
        return self.weights @ label_losses + self.weights.log().sum()


def test_every_output_and_every_weight_counts_in_the_loss() -> None:
    torch.manual_seed(1)
    batch = make_batch()
    model = TwoStages(torch.randn(6, 11), torch.randn(6, 11))
    loss, output = HardLabels()(model, batch)
    loss.backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    reference = torch.zeros(())
    for weight, log_odds in ((0.25, model.first), (1.0, model.log_odds)):
        cells = F.binary_cross_entropy_with_logits(log_odds, dense_labels(batch), reduction="none")
        reference = reference + weight * (
            (model.weights * cells).sum() / 6 + model.weights.log().sum()
        )
    reference.backward()
    torch.testing.assert_close(loss, reference.detach())
    torch.testing.assert_close(found, {name: p.grad for name, p in model.named_parameters()})
    assert output is model.log_odds
