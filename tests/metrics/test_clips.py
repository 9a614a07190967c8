from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import Labels
from tests.metrics import references
from tests.metrics.lists import from_lists
from tests.metrics.means import hit_at_k, map_at_k, perr


@pytest.mark.parametrize(
    ("truth", "ranked", "wanted"),
    [
        ([3, 4, 34, 2781, 3764], [4, 3, 139, 188, 215, 34, 2781, 2208, 40, 3764], 0.714),
        ([3, 4, 9, 34], [3, 4, 139, 188, 34, 215, 2781, 2208, 40, 3764], 0.65),
    ],
)
def test_worked_examples_of_map_at_10(truth: list[int], ranked: list[int], wanted: float) -> None:
    labels = from_lists([truth], 3862)
    scores = np.linspace(5, -5, 10)[None]
    assert map_at_k(labels, np.array([ranked]), scores, k=10) == pytest.approx(wanted, abs=5e-4)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 15), st.integers(1, 12))
def test_scores_without_ties_are_those_of_plain_loops(
    seed: int, clips: int, columns: int, k: int
) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.random((clips, columns)) < 0.3
    truth[0, 0] = True
    scores = generator.permutation(clips * columns).reshape(clips, columns).astype(np.float32)
    labels = Labels.from_dense(truth)
    assert map_at_k(labels, None, scores, k) == pytest.approx(references.map_at_k(truth, scores, k))
    assert hit_at_k(labels, None, scores, k) == pytest.approx(references.hit_at_k(truth, scores, k))
    assert perr(labels, None, scores) == pytest.approx(references.perr(truth, scores))


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_scores_do_not_depend_on_the_order_of_ties(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.random((6, 8)) < 0.3
    truth[0, 0] = True
    scores = generator.integers(0, 3, size=truth.shape).astype(np.float64)
    columns = generator.permutation(truth.shape[1])
    labels, shuffled = Labels.from_dense(truth), Labels.from_dense(truth[:, columns])
    for score in (map_at_k, hit_at_k):
        wanted = score(labels, None, scores, k)
        assert score(shuffled, None, scores[:, columns], k) == pytest.approx(wanted)
    assert perr(shuffled, None, scores[:, columns]) == pytest.approx(perr(labels, None, scores))


def test_a_tie_within_a_clip_is_one_threshold() -> None:
    labels = from_lists([[0]], 3)
    assert map_at_k(labels, None, np.array([[1.0, 1.0, 0.0]]), k=3) == 0.5
    assert hit_at_k(labels, None, np.array([[1.0, 1.0, 0.0]]), k=1) == 0.5


def test_clips_without_labels_miss_and_have_no_precision() -> None:
    labels = from_lists([[0], []], 2)
    scores = np.array([[2.0, 1.0], [2.0, 1.0]])
    assert hit_at_k(labels, None, scores, k=1) == 0.5
    assert perr(labels, None, scores) == 1.0
    assert map_at_k(labels, None, scores) == 1.0
