from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ensemble import EnsembleError
from ensemble.candidates import ANYTHING_ELSE, union_candidates
from runs import Predictions
from tests.ensemble.small import make_members, store
from tests.metrics.lists import from_lists


@pytest.mark.parametrize("stored", [6, 15, 40])
def test_whatever_a_weighting_ranks_is_a_candidate(stored: int) -> None:
    dense, labels = make_members(3, 60, 40, noise=1.0)
    predictions = [store(member, stored) for member in dense]
    filled = np.stack([own.to_dense() for own in predictions])
    candidates = union_candidates(predictions, labels, k=5)
    generator = np.random.default_rng(0)
    for weights in [*generator.dirichlet(np.ones(3), 40), *np.eye(3)]:
        mixed = np.tensordot(weights, filled, axes=1)
        for clip, row in enumerate(mixed):
            best = np.argsort(-row, kind="stable")[:5]
            assert set(best) <= set(candidates.labels[clip])


def test_candidates_carry_what_is_known_of_them() -> None:
    dense, labels = make_members(2, 30, 40)
    predictions = [store(member, 12) for member in dense]
    candidates = union_candidates(predictions, labels, k=5)
    truth = labels.dense()
    for clip, found in enumerate(candidates.labels):
        for place, label in enumerate(found):
            if label == ANYTHING_ELSE:
                continue
            assert candidates.hits[clip, place] == truth[clip, label]
            for member, one in enumerate(predictions):
                known = label in one.labels[clip]
                wanted = dense[member, clip, label] if known else one.left_out[clip]
                assert candidates.unknown[member, clip, place] != known
                assert candidates.log_odds[member, clip, place] == wanted


def test_pruning_leaves_little() -> None:
    dense, labels = make_members(3, 50, 1000, noise=0.1)
    candidates = union_candidates([store(member, 100) for member in dense], labels, k=20)
    assert candidates.labels.shape[1] < 45


def beaten(rival: int, label: int, members: Sequence[Predictions], clip: int) -> bool:
    """Whether a label comes after a rival in every member, or neither is stored there."""
    somewhere = False
    for own in members:
        stored = dict(zip(own.labels[clip].tolist(), own.log_odds[clip].tolist(), strict=True))
        one, other = (stored.get(name, float(own.left_out[clip])) for name in (rival, label))
        if one > other:
            somewhere = True
        elif {rival, label} & stored.keys():
            return False
    return somewhere


@pytest.mark.parametrize("seed", range(6))
def test_what_is_pruned_is_beaten_by_k_labels_in_a_plain_loop(seed: int) -> None:
    """With rounded scores, so that many tie, also with what is not stored."""
    dense, labels = make_members(3, 40, 70, seed, noise=1.0)
    dense = np.round(dense, seed % 3)
    k = (3, 8, 20)[seed // 2]
    members = [store(member, stored) for member, stored in zip(dense, (25, 31, 40), strict=True)]
    found = union_candidates(members, labels, k)
    for clip in range(40):
        union = set().union(*(own.labels[clip].tolist() for own in members))
        rivals = {
            name: sum(beaten(other, name, members, clip) for other in union) for name in union
        }
        kept = set(found.labels[clip].tolist()) - {ANYTHING_ELSE}
        # The rough cut may take away what ties with the bound of all that could beat it.
        assert kept <= {name for name, count in rivals.items() if count < k}
        strict = {name for name in union - kept if rivals[name] < k}
        for name in strict:
            assert all(
                name not in own.labels[clip] or own.log_odds[clip, -1] <= own.left_out[clip]
                for own in members
            )


def test_labels_that_tie_in_a_member_are_all_kept() -> None:
    dense = np.zeros((2, 1, 6), dtype=np.float32)
    dense[1, 0] = np.arange(6)
    candidates = union_candidates([store(member, 6) for member in dense], from_lists([[0]], 6), 2)
    assert sorted(candidates.labels[0]) == list(range(6))


def test_predictions_that_do_not_fit_are_refused() -> None:
    dense, labels = make_members(2, 8, 30)
    good = store(dense[0], 25)
    with pytest.raises(EnsembleError, match="no predictions"):
        union_candidates([], labels, 20)
    with pytest.raises(EnsembleError, match="number 1 are of other clips"):
        union_candidates([good, good.select(np.arange(8)[::-1])], labels, 20)
    with pytest.raises(EnsembleError, match="of 7 clips and 30 labels"):
        union_candidates([good.select(np.arange(7))], labels, 20)
    with pytest.raises(EnsembleError, match="store 10 labels a clip, but 20 count"):
        union_candidates([store(dense[0], 10)], labels, 20)
