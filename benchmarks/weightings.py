"""Weightings scored a second, against the dense weighted sum and its GAP.

    python -m benchmarks.weightings

The rival holds the members' probabilities dense, in float32, sums them up by the weights with
torch, and computes GAP@20 with the fastest code that there is here for dense scores. Ours holds
the 200 best labels of each clip and member: with those all weightings are proven exact on these
made-up scores. How many are stored changes the preparation, hardly the rate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.generated import generate_scores
from benchmarks.harness import best_times, print_figures, timed
from ensemble import WeightedScorer
from metrics import gap
from runs import PredictionsWriter

MEMBERS, CLIPS, LABELS, STORED, WEIGHTINGS, REPEATS = 3, 14_000, 3862, 200, 256, 5


def measure(
    clips: int = CLIPS,
    num_labels: int = LABELS,
    stored: int = STORED,
    weightings: int = WEIGHTINGS,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Times both on the same members and weightings, in turn: ours all, the rival one at a time.

    Returns:
        `per_second` by contender, `ratio`, `preparation_seconds` (ours, once for all weightings),
        `exact` (the share that is proven so) and `difference`, the largest between both GAPs.
    """
    dense, labels = generate_scores(MEMBERS, clips, num_labels)
    predictions = []
    for member in dense:
        writer = PredictionsWriter(num_labels, stored)
        writer.append([str(clip) for clip in range(clips)], torch.from_numpy(member))
        predictions.append(writer.finish())
    preparation, scorer = timed(lambda: WeightedScorer(predictions, labels))
    probabilities = torch.sigmoid(torch.from_numpy(dense))
    mixed = torch.empty_like(probabilities[0])

    def dense_gap(weights: np.ndarray) -> float:
        first, *others = zip(probabilities, weights.tolist(), strict=True)
        torch.mul(*first, out=mixed)
        for member, weight in others:
            mixed.add_(member, alpha=weight)
        return gap(labels, None, mixed.numpy())

    weights = np.random.default_rng(0).dirichlet(np.ones(MEMBERS), weightings)
    result = scorer.gap(weights)
    found: list[float] = []
    contenders = {
        "onegig": lambda: scorer.gap(weights),
        "dense": lambda: found.append(dense_gap(weights[len(found)])),
    }
    seconds = best_times(contenders, min(repeats, weightings))
    seconds["onegig"] /= weightings
    return {
        "per_second": {name: 1 / took for name, took in seconds.items()},
        "ratio": seconds["dense"] / seconds["onegig"],
        "preparation_seconds": preparation,
        "exact": float(result.exact.mean()),
        "difference": float(np.abs(result.gap[: len(found)] - found).max()),
    }


if __name__ == "__main__":
    sizes = f"{MEMBERS} members, {CLIPS:,} clips, {LABELS:,} labels, {STORED} stored"
    print_figures(f"{sizes}, {torch.get_num_threads()} threads; wanted: ratio 50", measure())
