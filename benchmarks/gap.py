"""GAP@20 from dense scores against plain Python, and against scikit-learn for its value.

    python -m benchmarks.gap

Rivals are a loop that keeps the 20 best scores of each clip on a heap, as one writes it without a
library, and the way of the YouTube-8M starter kit, which leaves the choice of the 20 to
numpy.argpartition and only pools them on a heap.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.generated import generate_scores
from benchmarks.harness import print_figures, ratios, timed
from metrics import Labels, gap

CLIPS, LABELS, K, REPEATS = 10_000, 3862, 20, 5


def measure(clips: int = CLIPS, num_labels: int = LABELS, repeats: int = REPEATS) -> dict[str, Any]:
    """Times the three on the same scores: the best of ours counts, the rivals run once.

    Returns:
        `seconds` by contender, `ratio` of each rival's time to ours, `gap` by contender and by
        scikit-learn, and `difference` of ours from scikit-learn's. The loops differ by more:
        they let the order of ties count.
    """
    (scores,), labels = generate_scores(1, clips, num_labels)
    contenders: dict[str, Callable[[], float]] = {
        "onegig": lambda: gap(labels, None, scores, K),
        "heap": lambda: _gap_with_heaps(labels, scores),
        "starter kit": lambda: _gap_of_starter_kit(labels, scores),
    }
    seconds, values = {}, {}
    for name, contender in contenders.items():
        trials = [timed(contender) for _ in range(repeats if name == "onegig" else 1)]
        seconds[name], values[name] = min(trials)
    values["scikit-learn"] = _gap_of_scikit_learn(labels, scores)
    return {
        "seconds": seconds,
        "ratio": ratios(seconds, to="onegig"),
        "gap": values,
        "difference": abs(values["onegig"] - values["scikit-learn"]),
    }


def _gap_with_heaps(labels: Labels, scores: np.ndarray) -> float:
    """One heap of K for each clip, one for all of them, and a loop over the sorted pool."""
    pool: list[tuple[float, bool]] = []
    for clip, row in enumerate(scores.tolist()):
        true = set(labels.columns[labels.offsets[clip] : labels.offsets[clip + 1]].tolist())
        best: list[tuple[float, int]] = []
        for label, score in enumerate(row):
            if len(best) < K:
                heapq.heappush(best, (score, label))
            elif score > best[0][0]:
                heapq.heapreplace(best, (score, label))
        for score, label in best:
            heapq.heappush(pool, (score, label in true))
    return _precision_of_pool(pool, labels.columns.size)


def _gap_of_starter_kit(labels: Labels, scores: np.ndarray) -> float:
    """As eval_util.py and average_precision_calculator.py of google/youtube-8m do it."""
    truth = labels.dense()
    pool: list[tuple[float, bool]] = []
    for row_truth, row in zip(truth, scores, strict=True):
        for label in np.argpartition(row, -K)[-K:]:
            heapq.heappush(pool, (row[label], row_truth[label]))
    return _precision_of_pool(pool, labels.columns.size)


def _precision_of_pool(pool: list[tuple[float, bool]], positives: int) -> float:
    found, total = 0, 0.0
    for place, (_, true) in enumerate(sorted(pool, reverse=True), start=1):
        if true:
            found += 1
            total += found / place
    return total / positives


def _gap_of_scikit_learn(labels: Labels, scores: np.ndarray) -> float:
    best = np.argpartition(scores, -K, axis=1)[:, -K:]
    true = np.take_along_axis(labels.dense(), best, axis=1).ravel()
    precision = average_precision_score(true, np.take_along_axis(scores, best, axis=1).ravel())
    return float(precision * true.sum() / labels.columns.size)


if __name__ == "__main__":
    print_figures(f"GAP@{K} over {CLIPS:,} clips x {LABELS:,} labels", measure())
    print("wanted: a difference of 1e-9 at most, and 30 times as fast as the heap")
