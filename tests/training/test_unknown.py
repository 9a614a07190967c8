"""Unknown labels in the loss: none of their gradient, with torch's own loss as the reference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from distill.objective import SoftAndHardLabels
from distill.soft_targets import SoftTargets
from families import FamilyError, registry
from tests.conftest import SMALL_MEANS, dense_labels
from tests.training.test_objective import Fixed, make_batch
from training.objective import HardLabels

CLIPS, COLUMNS = 6, 11


def test_hard_labels_leave_them_out() -> None:
    torch.manual_seed(0)
    batch = make_batch(CLIPS, COLUMNS)
    true = dense_labels(batch)
    unknown = (torch.rand(CLIPS, COLUMNS) < 0.4) & (true == 0)
    model = Fixed(5 * torch.randn(CLIPS, COLUMNS))
    loss, _ = HardLabels()(model, dataclasses.replace(batch, unknown=unknown))
    loss.backward()
    assert model.log_odds.grad is not None
    found, model.log_odds.grad = model.log_odds.grad, None
    known = ~unknown
    reference = F.binary_cross_entropy_with_logits(
        model.log_odds[known], true[known], reduction="sum"
    )
    (reference / CLIPS).backward()
    torch.testing.assert_close(loss, reference.detach() / CLIPS)
    torch.testing.assert_close(found, model.log_odds.grad)
    assert (found[unknown] == 0).all() and (found[known] != 0).all()


@pytest.mark.parametrize("further", [0, 2])
def test_of_soft_targets_they_have_all(further: int) -> None:
    """Clips without labels come behind, of which nothing is unknown."""
    torch.manual_seed(1)
    batch = make_batch(CLIPS, COLUMNS)
    true = dense_labels(batch)
    unknown = (torch.rand(CLIPS, COLUMNS) < 0.4) & (true == 0)
    batch = dataclasses.replace(batch, unknown=unknown)
    if further:
        others = make_batch(further, COLUMNS)
        batch = batch.followed_by(dataclasses.replace(others, ids=["y0", "y1"]))
    soft = torch.rand(CLIPS + further, COLUMNS)
    every = np.tile(np.arange(COLUMNS, dtype=np.uint16), (CLIPS + further, 1))

    def targets(rows: slice) -> SoftTargets:
        names = np.char.encode(np.array(batch.ids[rows]))
        tail = np.zeros(len(names), np.float32)
        return SoftTargets(names, every[rows], soft[rows].numpy(), tail, COLUMNS)

    unlabeled = targets(slice(CLIPS, None)) if further else None
    objective = SoftAndHardLabels(targets(slice(CLIPS)), 0.3, unlabeled, 0.5)
    model = Fixed(5 * torch.randn(CLIPS + further, COLUMNS))
    loss, _ = objective(model, batch)
    loss.backward()
    assert model.log_odds.grad is not None
    found, model.log_odds.grad = model.log_odds.grad, None
    reference = torch.zeros(())
    for row in range(CLIPS + further):
        for column in range(COLUMNS):
            z = model.log_odds[row, column]
            hard, share = 0.3, 0.7
            if row >= CLIPS:
                hard, share = 0.0, 0.5
            elif unknown[row, column]:
                hard = 0.0
            goal = true[row, column] if row < CLIPS else torch.zeros(())
            reference = reference + hard * F.binary_cross_entropy_with_logits(z, goal)
            reference = reference + share * F.binary_cross_entropy_with_logits(z, soft[row, column])
    (reference / len(batch)).backward()
    torch.testing.assert_close(loss, reference.detach() / len(batch))
    torch.testing.assert_close(found, model.log_odds.grad)


def test_what_remembers_labels_refuses_unknown_ones() -> None:
    schema = dataclasses.replace(SMALL_MEANS, unknown_labels_key="not_rated")
    with pytest.raises(FamilyError, match=r"some are unknown .*leave the member out"):
        registry.build("neighbors", {}, schema)
