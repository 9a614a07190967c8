"""Near duplicates against a loop over all pairs, and ids that are there twice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from records.statistics import duplicates
from records.statistics.duplicates import NearDuplicates, near_duplicates, shared_ids

LEAST = 0.9


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK", 16)
    monkeypatch.setattr(duplicates, "_AXES", 4)


def plain(
    vectors: np.ndarray, group: np.ndarray, groups: int
) -> tuple[dict[tuple[int, int], float], np.ndarray]:
    """Pairs with their cosines, and the clips of a group that are near one of another."""
    apart = vectors - vectors.mean(axis=0)
    pairs, near = {}, np.zeros((len(vectors), groups), bool)
    for i, j in itertools.combinations(range(len(vectors)), 2):
        cosine = apart[i] @ apart[j] / np.linalg.norm(apart[i]) / np.linalg.norm(apart[j])
        if cosine >= LEAST:
            pairs[i, j] = cosine
            near[i, group[j]] = near[j, group[i]] = True
    return pairs, np.array([near[group == own].sum(axis=0) for own in range(groups)])


def vectors_with_copies(seed: int) -> np.ndarray:
    """90 vectors, some of them near others, scaled, or the same."""
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(90, 20))
    vectors[30:40] = vectors[:10] + 0.05 * generator.normal(size=(10, 20))
    vectors[60] = vectors[61] = vectors[5]
    return vectors


@pytest.mark.parametrize("seed", range(4))
def test_every_pair_is_found(seed: int) -> None:
    vectors = vectors_with_copies(seed)
    group = np.random.default_rng(9).integers(0, 3, len(vectors))
    pairs, clips = plain(vectors, group, 3)
    found = near_duplicates(vectors.astype(np.float32), group, 3, LEAST)
    assert found.count == len(pairs) > 10
    assert {(i, j) for i, j in found.pairs.tolist()} == set(pairs)
    for pair, likeness in zip(found.pairs.tolist(), found.likeness.tolist(), strict=True):
        assert likeness == pytest.approx(pairs[pair[0], pair[1]], abs=1e-5)
    assert (np.diff(found.likeness) <= 0).all()
    assert found.clips.tolist() == clips.tolist()


def test_the_most_alike_are_named_and_all_are_counted() -> None:
    vectors = vectors_with_copies(0).astype(np.float32)
    group = np.zeros(len(vectors), int)
    every = near_duplicates(vectors.copy(), group, 1, LEAST)
    few = near_duplicates(vectors, group, 1, LEAST, most_pairs=5)
    assert few.count == every.count
    assert few.pairs.tolist() == every.pairs[:5].tolist()


def test_all_alike_are_all_pairs_and_the_mean_is_near_nothing() -> None:
    vectors = np.tile(np.array([[1, 2, 3]], np.float32), (50, 1))
    vectors[25:] *= -1
    found = near_duplicates(vectors.copy(), np.zeros(50, int), 1, LEAST, most_pairs=7)
    assert (found.count, len(found.pairs)) == (2 * 25 * 24 // 2, 7)
    same = near_duplicates(np.ones((9, 3), np.float32), np.zeros(9, int), 1, LEAST)
    assert same.count == 0 and same.clips.tolist() == [[0]]


def test_one_clip_has_no_duplicate() -> None:
    found: NearDuplicates = near_duplicates(np.ones((1, 3), np.float32), np.zeros(1, int), 2, LEAST)
    assert found.count == 0 and found.clips.tolist() == [[0, 0], [0, 0]]


def test_ids_that_are_there_twice_are_named_with_their_splits() -> None:
    ids = {
        "train": np.array(["a", "b", "b", "c"]),
        "search": np.array(["d"]),
        "report": np.array(["longer", "c", "e"]),
    }
    assert shared_ids(ids) == {"b": {"train": 2}, "c": {"train": 1, "report": 1}}
