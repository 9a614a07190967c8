"""Weightings scored a second, against the dense weighted sum and its GAP.

    python -m benchmarks.weightings
    python -m benchmarks.weightings --members 115

The rival holds the members' probabilities dense, in float32, sums them up by the weights with
torch, and computes GAP@20 with the fastest code that there is here for dense scores. Ours holds
the 200 best labels of each clip and member: with those all weightings are proven exact on these
made-up scores. How many are stored changes the preparation, hardly the rate.

Of more members dense scores are more than memory holds. With `--members` there is no rival, the
members are generated as a run stores them, every weighting is of all of them, and a few GAPs are
held against those of the plain metric on dense mixtures, made a few clips at a time.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.generated import RankedClips, generate_scores
from benchmarks.harness import best_times, print_figures, timed
from ensemble import WeightedScorer
from metrics import Labels, gap
from metrics.ranking import slices
from runs import Predictions, PredictionsWriter

MEMBERS, CLIPS, LABELS, STORED, WEIGHTINGS, REPEATS = 3, 14_000, 3862, 200, 256, 5
MANY_STORED, CHECKED, DENSE_CLIPS = 100, 2, 100


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


def measure_many(
    members: int,
    clips: int = CLIPS,
    num_labels: int = LABELS,
    stored: int = MANY_STORED,
    weightings: int = WEIGHTINGS,
    checked: int = CHECKED,
) -> dict[str, Any]:
    """Times weightings of many members.

    Returns:
        `per_second`; `processor_milliseconds` of a weighting, which a busy machine changes less;
        `preparation_seconds`; `exact`, the share that is proven so; and `difference`, the largest
        between the GAPs that were checked and those of the plain metric.
    """
    blocks = [
        RankedClips(rows.start, rows.stop - rows.start, num_labels, stored)
        for rows in slices(clips, 2000)
    ]
    labels = Labels.concatenate([block.truth() for block in blocks])
    predictions = [
        Predictions.concatenate([block.member(number, [0.0])[0] for block in blocks])
        for number in range(members)
    ]
    preparation, scorer = timed(lambda: WeightedScorer(predictions, labels))
    weights = np.random.default_rng(0).dirichlet(np.ones(members), weightings)
    began = time.process_time()
    seconds, result = timed(lambda: scorer.gap(weights))
    spent = time.process_time() - began
    plain = _plain_gaps(predictions, labels, weights[:checked])
    return {
        "per_second": weightings / seconds,
        "processor_milliseconds": 1000 * spent / weightings,
        "preparation_seconds": preparation,
        "exact": float(result.exact.mean()),
        "difference": float(np.abs(result.gap[:checked] - plain).max()),
    }


def _plain_gaps(
    predictions: Sequence[Predictions], labels: Labels, weights: np.ndarray
) -> np.ndarray:
    """GAP (W,) of dense mixtures: of each clip the best labels, then the metric."""
    writers = [PredictionsWriter(labels.num_labels, 40) for _ in weights]
    for rows in slices(len(labels), DENSE_CLIPS):
        dense = np.stack([own.select(rows).to_dense() for own in predictions])
        probabilities = torch.from_numpy(dense).double().sigmoid_()
        ids = predictions[0].ids[rows].tolist()
        for writer, row in zip(writers, torch.from_numpy(weights), strict=True):
            writer.append(ids, torch.logit(torch.einsum("m,mnv->nv", row, probabilities)))
    found = [writer.finish() for writer in writers]
    return np.array([gap(labels, own.labels, own.log_odds) for own in found])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weightings")
    parser.add_argument("--members", type=int, default=MEMBERS)
    asked = parser.parse_args().members
    stored = STORED if asked == MEMBERS else MANY_STORED
    sizes = f"{asked} members, {CLIPS:,} clips, {LABELS:,} labels, {stored} stored"
    threads = f"{torch.get_num_threads()} threads"
    if asked == MEMBERS:
        print_figures(f"{sizes}, {threads}; wanted: ratio 50", measure())
    else:
        print_figures(f"{sizes}; wanted: 100 a second, exact", measure_many(asked))
