"""Weightings scored a second, against the dense weighted sum and its GAP.

    python -m benchmarks.weightings

The rival holds the members' probabilities dense, in float32, sums them up by the weights with
torch, and computes GAP@20 with the fastest code that there is here for dense scores. Ours holds
the 200 best labels of each clip and member: with those all weightings are proven exact on these
made-up scores. How many are stored changes the preparation, hardly the rate.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from benchmarks.generated_scores import generate_scores
from ensemble import WeightedScorer
from metrics import Labels, gap
from runs import PredictionsWriter

MEMBERS, CLIPS, LABELS, STORED, WEIGHTINGS, REPEATS = 3, 14_000, 3862, 200, 256, 5


def measure(
    members: int = MEMBERS,
    clips: int = CLIPS,
    num_labels: int = LABELS,
    stored: int = STORED,
    weightings: int = WEIGHTINGS,
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Times both on the same members and weightings, in turn.

    Args:
        members: M.
        clips: N.
        num_labels: V.
        stored: K, labels of a clip that a member stores.
        weightings: How many ours scores in one go.
        repeats: Of each; the best counts. The rival scores one weighting at a time.

    Returns:
        `per_second` by contender, `ratio`, `preparation_seconds` (ours, once for all weightings),
        `exact` (the share that is proven so) and `difference`, the largest between both GAPs.
    """
    dense, labels = generate_scores(members, clips, num_labels)
    predictions = []
    for member in dense:
        writer = PredictionsWriter(num_labels, stored)
        writer.append([str(clip) for clip in range(clips)], torch.from_numpy(member))
        predictions.append(writer.finish())
    began = time.perf_counter()
    scorer = WeightedScorer(predictions, labels)
    preparation = time.perf_counter() - began
    rival = _Dense(dense, labels)
    weights = np.random.default_rng(0).dirichlet(np.ones(members), weightings)
    result = scorer.gap(weights)
    ours, theirs, differences = [], [], []
    for trial in range(min(repeats, weightings)):
        began = time.perf_counter()
        scorer.gap(weights)
        ours.append((time.perf_counter() - began) / weightings)
        began = time.perf_counter()
        value = rival.gap(weights[trial])
        theirs.append(time.perf_counter() - began)
        differences.append(abs(value - result.gap[trial]))
    return {
        "per_second": {"onegig": 1 / min(ours), "dense": 1 / min(theirs)},
        "ratio": min(theirs) / min(ours),
        "preparation_seconds": preparation,
        "exact": float(result.exact.mean()),
        "difference": float(max(differences)),
    }


class _Dense:
    """The weighted sum of dense probabilities, and its GAP."""

    def __init__(self, dense: np.ndarray, labels: Labels) -> None:
        self._probabilities = torch.sigmoid(torch.from_numpy(dense))
        self._mixed = torch.empty(dense.shape[1:])
        self._labels = labels

    def gap(self, weights: np.ndarray) -> float:
        first, *others = zip(self._probabilities, weights.tolist(), strict=True)
        torch.mul(first[0], first[1], out=self._mixed)
        for member, weight in others:
            self._mixed.add_(member, alpha=weight)
        return gap(self._labels, None, self._mixed.numpy())


def main() -> dict[str, Any]:
    """Prints the table."""
    figures = measure()
    print(
        f"{MEMBERS} members, {CLIPS:,} clips, {LABELS:,} labels, {STORED} stored, "
        f"{torch.get_num_threads()} threads"
    )
    for name, rate in figures["per_second"].items():
        print(f"{name:10}{rate:10.1f} weightings a second")
    print(f"ratio {figures['ratio']:.1f} (wanted: 50), {figures['exact']:.0%} proven exact")
    print(f"largest difference {figures['difference']:.1e}")
    print(f"preparation {figures['preparation_seconds']:.2f} s")
    return figures


if __name__ == "__main__":
    main()
