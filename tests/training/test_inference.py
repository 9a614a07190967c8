"""Several models predict a split from one reading of it, each as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from families import FamilyModule, build
from records import Split, iterate_batches
from runs import Predictions
from tests.conftest import SMALL_FRAMES
from tests.training.small import DBOF
from training import inference
from training.inference import models_at_once, predict_split

STORED = 25


@pytest.fixture(scope="module")
def models() -> list[FamilyModule]:
    torch.manual_seed(3)
    return [build("dbof", DBOF, SMALL_FRAMES) for _ in range(3)]


def alone(model: FamilyModule, split: Split) -> np.ndarray:
    """Log-odds (N, V), by a plain loop."""
    model.eval()
    with torch.no_grad():
        batches = [batch.to("cpu") for batch in iterate_batches(split, 16)]
        return torch.cat([model(batch.features, batch.mask) for batch in batches]).numpy()


def test_each_model_predicts_what_it_does_alone(models: list[FamilyModule], search: Split) -> None:
    found = predict_split(models, search, batch_size=16, stored_labels=STORED)
    assert len({own.digest for own in found}) == len(models)
    for model, own in zip(models, found, strict=True):
        dense = alone(model, search)
        best = np.argsort(-dense, axis=1, kind="stable")[:, :STORED]
        assert np.array_equal(own.log_odds, np.take_along_axis(dense, best, axis=1))
        assert np.array_equal(own.labels, best)
        assert _digest_alone(model, search) == own.digest


def _digest_alone(model: FamilyModule, split: Split) -> str:
    found: list[Predictions] = predict_split([model], split, batch_size=16, stored_labels=STORED)
    return found[0].digest


def test_as_many_at_once_as_fit_into_memory(
    models: list[FamilyModule], search: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = sum(tensor.numel() * 4 for tensor in models[0].parameters())
    each = weights + len(search) * STORED * 8
    monkeypatch.setattr(inference, "_HELD", 4 * each)
    # Its buffers take some, too.
    assert models_at_once(models[0], search, STORED) == 3
    monkeypatch.setattr(inference, "_HELD", 1)
    assert models_at_once(models[0], search, STORED) == 1
