from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.threads import POOL_VARIABLE
from ensemble import EnsembleError, WeightedScorer
from ensemble import scorer as scorer_module
from metrics import Labels, gap
from tests.ensemble.small import DenseGap, make_members, store
from tests.metrics.lists import from_lists


def weightings(members: int, count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    drawn = generator.dirichlet(np.ones(members), count)
    return np.concatenate([drawn, np.full((1, members), 1 / members), np.eye(members)])


@pytest.mark.parametrize("mode", ["probability", "log_odds"])
@settings(deadline=None, max_examples=15)
@example(seed=0, members=1, clips=57, columns=22)  # two true labels that float32 makes equal
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 70), st.integers(2, 60))
def test_complete_predictions_score_as_dense(
    mode: str, seed: int, members: int, clips: int, columns: int
) -> None:
    dense, labels = make_members(members, clips, columns, seed)
    scorer = WeightedScorer([store(member, columns) for member in dense], labels, mix=mode, k=6)
    weights = weightings(members, 5, seed)
    result = scorer.gap(weights)
    assert result.exact.all()
    assert result.gap.tolist() == [DenseGap(dense, labels, row, mode, 6) for row in weights]


@pytest.mark.parametrize("mode", ["probability", "log_odds"])
@pytest.mark.parametrize("stored", [20, 40, 120])
def test_what_is_called_exact_is_the_dense_score(mode: str, stored: int) -> None:
    dense, labels = make_members(3, 120, 400, noise=0.3)
    scorer = WeightedScorer([store(member, stored) for member in dense], labels, mix=mode)
    weights = weightings(3, 20)
    result = scorer.gap(weights)
    wanted = [DenseGap(dense, labels, row, mode) for row in weights[result.exact]]
    assert result.gap[result.exact].tolist() == wanted
    assert result.exact[-3:].all(), "a member on its own is always known"
    assert result.exact.all() if stored == 120 else not result.exact.all()


@pytest.mark.parametrize("mode", ["probability", "log_odds"])
@pytest.mark.parametrize("stored", [40, 400])
def test_some_of_the_members(mode: str, stored: int) -> None:
    dense, labels = make_members(5, 120, 400, noise=0.3)
    predictions = [store(member, stored) for member in dense]
    some = [3, 0]
    result = WeightedScorer(predictions, labels, mix=mode).of(some).gap(weightings(2, 20))
    alone = WeightedScorer([predictions[n] for n in some], labels, mix=mode).gap(weightings(2, 20))
    assert result.exact.tolist() == alone.exact.tolist()
    exact = weightings(2, 20)[result.exact]
    wanted = [DenseGap(dense[some], labels, row, mode) for row in exact]
    assert result.gap[result.exact].tolist() == wanted


@pytest.mark.parametrize("mode", ["probability", "log_odds"])
def test_clips_laid_out_in_slabs_score_the_same(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, labels = make_members(3, 120, 400, noise=0.3)
    predictions, weights = [store(member, 40) for member in dense], weightings(3, 10)
    whole = WeightedScorer(predictions, labels, mix=mode)
    monkeypatch.setattr(scorer_module, "SLAB_CLIPS", 50)
    cut = WeightedScorer(predictions, labels, mix=mode)
    one, other = whole.gap(weights), cut.gap(weights)
    assert other.gap.tolist() == one.gap.tolist() and other.exact.tolist() == one.exact.tolist()
    drawn = whole.resampled_gap(weights[0])
    assert cut.resampled_gap(weights[0]).tolist() == pytest.approx(drawn.tolist(), abs=1e-12)
    assert cut.of([2, 0]).gap(weights[:1, :2] / weights[0, :2].sum()).exact.shape == (1,)


@pytest.mark.parametrize("mode", ["probability", "log_odds"])
def test_unknown_labels_count_with_their_bound(mode: str) -> None:
    dense, labels = make_members(3, 80, 100, noise=1.0)
    predictions = [store(member, 20) for member in dense]
    filled = np.stack([own.to_dense() for own in predictions])
    result = WeightedScorer(predictions, labels, mix=mode).gap(weightings(3, 10))
    assert not result.exact.all()
    assert result.gap.tolist() == [DenseGap(filled, labels, row, mode) for row in weightings(3, 10)]


def test_true_and_wrong_labels_that_tie_across_the_cut_share_it() -> None:
    generator = np.random.default_rng(0)
    dense = generator.integers(-3, 3, size=(1, 60, 30)).astype(np.float32)
    labels = Labels.from_dense(generator.random((60, 30)) < 0.2)
    scorer = WeightedScorer([store(dense[0], 30)], labels, k=5)
    assert scorer.gap(np.ones((1, 1))).gap[0] == pytest.approx(gap(labels, None, dense[0], 5))


def test_a_constant_member_changes_no_order() -> None:
    dense, labels = make_members(2, 40, 50)
    dense[1] = -5.0
    scorer = WeightedScorer([store(member, 50) for member in dense], labels)
    weights = np.array([[0.5, 0.5], [0.0, 1.0]])
    assert scorer.gap(weights).gap.tolist() == pytest.approx(
        [gap(labels, None, dense[0]), gap(labels, None, dense[1])], abs=1e-6
    )


def test_scores_near_one_do_not_tie() -> None:
    # In float32 both clips' probabilities are 1.0, and a tie would give 0.5.
    dense = np.array([[[30.0, -9.0], [31.0, -9.0]]], dtype=np.float32)
    scorer = WeightedScorer([store(dense[0], 2)], from_lists([[], [0]], 2), k=1)
    assert scorer.gap(np.ones((1, 1))).gap.tolist() == [1.0]


def test_threads_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, labels = make_members(3, 200, 60)
    predictions = [store(member, 30) for member in dense]
    weights = weightings(3, 70)
    scorer = WeightedScorer(predictions, labels)
    results = []
    for threads in (1, 2):
        monkeypatch.setenv(POOL_VARIABLE, str(threads))
        results.append(scorer.gap(weights))
    one, two = results
    assert (one.gap == two.gap).all()
    assert (one.exact == two.exact).all()
    assert [scorer.gap(row[None]).gap[0] for row in weights] == pytest.approx(one.gap, abs=1e-9)


@pytest.mark.parametrize("mode", ["probability", "log_odds"])
def test_mixed_predictions_have_the_score_of_their_weights(mode: str) -> None:
    dense, labels = make_members(3, 100, 60)
    scorer = WeightedScorer([store(member, 40) for member in dense], labels, mix=mode)
    weights = np.array([0.2, 0.5, 0.3])
    mixed = scorer.mixed(weights)
    assert mixed.stored == 40
    assert mixed.ids.tolist() == [f"clip{n}" for n in range(100)]
    assert gap(labels, mixed.labels, mixed.log_odds) == pytest.approx(
        scorer.gap(weights[None]).gap[0], abs=1e-6
    )


def test_no_weighting_is_no_score() -> None:
    dense, labels = make_members(2, 10, 30)
    scorer = WeightedScorer([store(member, 30) for member in dense], labels)
    assert scorer.gap(np.zeros((0, 2))).gap.size == 0


def test_what_cannot_be_scored_is_refused() -> None:
    dense, labels = make_members(2, 10, 30)
    predictions = [store(member, 30) for member in dense]
    with pytest.raises(EnsembleError, match="mix = 'mean'"):
        WeightedScorer(predictions, labels, mix="mean")
    with pytest.raises(EnsembleError, match="none of the 10 clips has a true label"):
        WeightedScorer(predictions, from_lists([[]] * 10, 30))
    scorer = WeightedScorer(predictions, labels)
    with pytest.raises(EnsembleError, match="for 2 members"):
        scorer.gap(np.ones((1, 3)))
