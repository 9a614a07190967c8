"""Weightings of members where some labels of a clip are neither true nor false."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ensemble import WeightedScorer
from ensemble.contribution import error_correlations
from metrics import Labels, gap
from runs.predictions import UNKNOWN, Predictions, PredictionsWriter
from tests.ensemble.small import dense_mixture, make_members, store

MEMBERS, CLIPS, COLUMNS = 3, 90, 70


def drawn(share: float) -> tuple[np.ndarray, Labels, np.ndarray]:
    dense, labels = make_members(MEMBERS, CLIPS, COLUMNS, noise=1.5)
    generator = np.random.default_rng(8)
    unknown = (generator.random((CLIPS, COLUMNS)) < share) & ~labels.dense()
    unknown[3] = True
    true = labels.dense() & ~unknown
    dense[:, unknown] += 4
    rows, columns = np.nonzero(true)
    return dense, Labels.from_pairs(rows, columns, CLIPS, COLUMNS, unknown), unknown


def known_first(dense: np.ndarray, unknown: np.ndarray, k: int) -> Predictions:
    writer = PredictionsWriter(COLUMNS, k)
    names = [f"clip{n}" for n in range(CLIPS)]
    writer.append(names, torch.from_numpy(dense), torch.from_numpy(unknown))
    return writer.finish()


@pytest.mark.parametrize("mode", ["probability", "log_odds"])
@pytest.mark.parametrize(("share", "stored"), [(0.2, 70), (0.5, 70), (0.9, 20), (0.97, 20)])
def test_a_weighting_scores_what_is_known(mode: str, share: float, stored: int) -> None:
    """With few labels known all of them are stored, and every weighting is exact."""
    dense, labels, unknown = drawn(share)
    weights = np.random.default_rng(1).dirichlet(np.ones(MEMBERS), 6)
    wanted = [gap(labels, None, dense_mixture(dense, row, mode)) for row in weights]
    written = [[known_first(own, unknown, stored) for own in dense]]
    if stored == COLUMNS:
        written.append([store(own, stored) for own in dense])
    for members in written:
        scorer = WeightedScorer(members, labels, mix=mode)
        result = scorer.gap(weights)
        np.testing.assert_allclose(result.gap, wanted, atol=1e-6)
        assert result.exact.all()
        mixed = scorer.mixed(weights[0])
        assert gap(labels, mixed.labels, mixed.log_odds) == pytest.approx(wanted[0], abs=1e-6)
        assert scorer.resampled_gap(weights[0]).std() > 0


def test_what_was_left_out_and_is_known_is_not_called_exact() -> None:
    dense, labels, unknown = drawn(0.1)
    weights = np.full((1, MEMBERS), 1 / MEMBERS)
    result = WeightedScorer([known_first(own, unknown, 20) for own in dense], labels).gap(weights)
    assert not result.exact.all()


def test_what_is_known_is_stored_first() -> None:
    dense, _, unknown = drawn(0.9)
    found = known_first(dense[0], unknown, 20)
    for row in range(CLIPS):
        known = np.flatnonzero(~unknown[row])
        by_score = known[np.argsort(-dense[0, row, known])]
        assert found.labels[row, : len(known)].tolist() == by_score[:20].tolist()
        assert (found.log_odds[row, len(known) :] == UNKNOWN).all()
        assert found.tail[row] == 0 if len(known) <= 20 else found.tail[row] > 0


def test_errors_are_compared_on_what_is_known() -> None:
    dense, labels, unknown = drawn(0.5)
    asked = np.argsort(-dense[0], axis=1)[:, :20]
    found = error_correlations([store(own, COLUMNS) for own in dense], labels, asked)
    true = labels.dense()
    kept = [(n, label) for n in range(CLIPS) for label in asked[n] if not unknown[n, label]]
    errors = [[1 / (1 + np.exp(-own[cell])) - true[cell] for cell in kept] for own in dense]
    np.testing.assert_allclose(found, np.corrcoef(errors), atol=1e-5)
