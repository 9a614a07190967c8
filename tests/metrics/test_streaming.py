from __future__ import annotations

import numpy as np
import pytest
import torch

from metrics import Labels, MetricError, StreamingScores, gap
from metrics.average_precision import mean_average_precision
from metrics.ranking import best_labels
from tests.metrics.means import hit_at_k, map_at_k, perr


def some_clips(columns: int, clips: int = 90) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(columns)
    scores = generator.normal(size=(clips, columns)).astype(np.float32)
    truth = generator.random(scores.shape) < 2 / columns
    scores[truth] += 2
    return truth, scores


def wanted_scores(labels: Labels, top: np.ndarray | None, scores: np.ndarray) -> dict[str, float]:
    if top is None:
        top = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    return {
        "gap": gap(labels, top, scores),
        "map": mean_average_precision(labels, top, scores),
        "map_at_10": map_at_k(labels, top, scores, 10),
        "hit_at_1": hit_at_k(labels, top, scores, 1),
        "perr": perr(labels, top, scores),
        "videos": len(labels),
    }


@pytest.mark.parametrize("kind", ["pairs", "labels"])
def test_batches_score_like_the_whole(kind: str) -> None:
    truth, scores = some_clips(50)
    stream = StreamingScores(50)
    for start in range(0, len(scores), 32):
        part = truth[start : start + 32]
        kinds: dict[str, torch.Tensor | Labels] = {
            "pairs": torch.from_numpy(np.argwhere(part)),
            "labels": Labels.from_dense(part),
        }
        stream.update(torch.from_numpy(scores[start : start + 32]), kinds[kind])
    assert stream.compute() == pytest.approx(wanted_scores(Labels.from_dense(truth), None, scores))


def test_sparse_batches_score_like_the_whole() -> None:
    truth, scores = some_clips(300)
    labels, (top, values) = Labels.from_dense(truth), best_labels(scores, 40)
    stream = StreamingScores(300)
    for rows in (slice(0, 50), slice(50, 90)):
        stream.update((top[rows], values[rows]), np.argwhere(truth[rows]))
    assert stream.compute() == pytest.approx(wanted_scores(labels, top, values))


def test_map_of_many_labels_is_a_lower_bound_and_the_rest_is_exact() -> None:
    truth, scores = some_clips(1500)
    stream = StreamingScores(1500)
    stream.update(scores, Labels.from_dense(truth))
    wanted = wanted_scores(Labels.from_dense(truth), None, scores)
    result = stream.compute()
    assert 0.5 * wanted["map"] < result.pop("map") <= wanted.pop("map")
    assert result == pytest.approx(wanted)


@pytest.mark.parametrize("columns", [50, 1500])
def test_what_others_collected_scores_like_the_whole(columns: int) -> None:
    truth, scores = some_clips(columns)
    # The last have no label.
    truth[70:] = False
    unknown = ~truth & (np.random.default_rng(1).random(truth.shape) < 0.2)
    thresholds = np.full(columns, 1.5)
    whole, joined = (StreamingScores(columns, thresholds) for _ in range(2))
    for rows in (slice(0, 40), slice(40, 70), slice(70, 90)):
        batch = scores[rows], np.argwhere(truth[rows]), unknown[rows]
        part = StreamingScores(columns, thresholds)
        for one in (whole, part):
            one.update(*batch)
        joined.add(part.stored())
        assert part.has_labels is (rows.stop <= 70)
    assert joined.compute() == whole.compute() and joined.errors() == whole.errors()


def test_bfloat16_is_taken() -> None:
    truth, scores = some_clips(20)
    half = torch.from_numpy(scores).bfloat16()
    stream = StreamingScores(20)
    stream.update(half, Labels.from_dense(truth))
    wanted = gap(Labels.from_dense(truth), None, half.float().numpy())
    assert stream.compute()["gap"] == pytest.approx(wanted)


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(MetricError, match="none of 0 clips"):
        StreamingScores(3).compute()
    stream = StreamingScores(3)
    stream.update(np.zeros((2, 3)), np.zeros((0, 2), dtype=np.int64))
    with pytest.raises(MetricError, match="none of 2 clips"):
        stream.compute()


def test_what_does_not_fit_is_refused() -> None:
    stream = StreamingScores(3)
    with pytest.raises(MetricError, match="whole-number pairs"):
        stream.update(np.zeros((2, 3)), np.zeros((4, 5)))
    with pytest.raises(MetricError, match="NaN or infinite"):
        stream.update(np.full((2, 3), np.nan), np.zeros((0, 2), dtype=np.int64))
    stream.update((np.array([[0]]), np.array([[1.0]])), np.array([[0, 0]]))
    stream.update((np.array([[0, 1]]), np.array([[1.0, 0.0]])), np.array([[0, 0]]))
    with pytest.raises(MetricError, match=r"different numbers of labels: \[1, 2\]"):
        stream.compute()
