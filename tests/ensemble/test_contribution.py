from __future__ import annotations

import numpy as np
import pytest
import torch

from ensemble import WeightedScorer, mix
from ensemble.contribution import contributions, error_correlations
from metrics import Labels, gap
from runs import Predictions, PredictionsWriter

CLIPS, LABELS, MEMBERS = 40, 30, 3


@pytest.fixture(scope="module")
def members() -> tuple[np.ndarray, np.ndarray, list[Predictions]]:
    """Truth (N, V), log-odds (M, N, V), and these as they are stored, whole."""
    generator = np.random.default_rng(0)
    truth = generator.random((CLIPS, LABELS)) < 0.1
    scores = generator.normal(size=(MEMBERS, CLIPS, LABELS)) + 2.0 * truth - 2
    stored = []
    for own in scores.astype(np.float32):
        writer = PredictionsWriter(LABELS, LABELS)
        writer.append([f"clip{n}" for n in range(CLIPS)], torch.from_numpy(own))
        stored.append(writer.finish())
    return truth, scores.astype(np.float32), stored


def test_a_member_adds_what_is_lost_without_it(
    members: tuple[np.ndarray, np.ndarray, list[Predictions]],
) -> None:
    truth, scores, stored = members
    labels, weights = Labels.from_dense(truth), np.array([0.5, 0.5, 0.0])
    found = contributions(WeightedScorer(stored, labels), weights, [[0], [1], [2]])
    assert found[2] is None
    whole = gap(labels, None, mix(torch.from_numpy(scores), weights.tolist()).numpy())
    for left_out, left in ((0, 1), (1, 0)):
        own = found[left_out]
        assert own is not None and own.error > 0
        assert own.without == pytest.approx(gap(labels, None, scores[left]), abs=1e-6)
        assert own.gain == pytest.approx(whole - own.without, abs=1e-6)
    # Of a member that is two models, both are left out; of one that is all, there is no rest.
    both = contributions(WeightedScorer(stored, labels), np.array([0.2, 0.3, 0.5]), [[0, 1], [2]])
    assert both[0] is not None
    assert both[0].without == pytest.approx(gap(labels, None, scores[2]), abs=1e-6)
    alone = contributions(WeightedScorer(stored, labels), np.array([1.0, 0, 0]), [[0], [1]])
    assert alone == [None, None]


def test_errors_correlate_as_their_dense_differences_do(
    members: tuple[np.ndarray, np.ndarray, list[Predictions]],
) -> None:
    truth, scores, stored = members
    asked = stored[0].labels[:, :7]
    found = error_correlations([*stored, stored[0]], Labels.from_dense(truth), asked)
    places = np.arange(CLIPS)[:, None], asked.astype(int)
    errors = [(1 / (1 + np.exp(-own)) - truth)[places].ravel() for own in scores]
    assert found[:3, :3] == pytest.approx(np.corrcoef(errors), abs=1e-5)
    assert found[0, 3] == pytest.approx(1)
