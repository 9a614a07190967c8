"""A training step against the machine's best matrix products: `python -m benchmarks.training_step`.

The perceptron of 1,536 units on 3,862 labels, batch 256, as the trainer runs it: forward, loss,
backward, clipping, fused AdamW. Its rate counts the multiplications and additions of its matrix
products alone; all else that a step does lowers it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from families import build
from records import (
    Clip,
    Split,
    SplitSpec,
    encode_clip,
    iterate_batches,
    load_schema,
    open_split,
    write_shards,
)
from training.config import TrainConfig
from training.objective import HardLabels
from training.trainer import Trainer

BATCH, HIDDEN = 256, 1536
STEPS, ROUNDS = 12, 5
Precision = Literal["float32", "bfloat16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def measure() -> dict[str, float]:
    """GFLOP/s of step and product by precision, and the shares; medians of interleaved rounds."""
    schema = load_schema("yt8m_video")
    sizes = [sum(s.size for s in schema.streams), HIDDEN, schema.num_labels]
    # The first layer's inputs need no gradient: two products a weight instead of three.
    step_flop = 2 * BATCH * (2 * sizes[0] * sizes[1] + 3 * sizes[1] * sizes[2])
    with tempfile.TemporaryDirectory() as folder:
        trainers = {name: _trainer(Path(folder), name) for name in DTYPES}
        batches = list(iterate_batches(_split(Path(folder)), BATCH))
        figures: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, dtype in DTYPES.items():
                product = _product_rate(sizes[1], sizes[2], dtype)
                started = time.perf_counter()
                for number in range(STEPS):
                    trainers[name].step(batches[number % len(batches)])
                rate = STEPS * step_flop / (time.perf_counter() - started) / 1e9
                figures.setdefault(f"{name} product", []).append(product)
                figures.setdefault(f"{name} step", []).append(rate)
                figures.setdefault(f"{name} share", []).append(rate / product)
    return {name: statistics.median(values) for name, values in figures.items()}


def _product_rate(inner: int, outer: int, dtype: torch.dtype) -> float:
    left = torch.randn(BATCH, inner, dtype=dtype)
    right = torch.randn(inner, outer, dtype=dtype)
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return 2 * BATCH * inner * outer / best / 1e9


def _split(folder: Path) -> Split:
    schema = load_schema("yt8m_video")
    if not list(folder.glob("*.tfrecord")):
        generator = np.random.default_rng(0)
        clips = (
            Clip(
                f"clip{number}",
                np.unique(generator.integers(0, schema.num_labels, 3)),
                {s.name: generator.normal(size=s.size).astype(np.float32) for s in schema.streams},
            )
            for number in range(4 * BATCH)
        )
        write_shards(folder, "train", (encode_clip(clip, schema) for clip in clips))
    return open_split(folder, "train", SplitSpec("train-*"), schema, cache=None)


def _trainer(folder: Path, precision: Precision) -> Trainer:
    model = build("perceptron", {"hidden": [HIDDEN]}, load_schema("yt8m_video"))
    train = TrainConfig(
        epochs=1000, batch_size=BATCH, optimizer="adamw", weight_decay=0.01, precision=precision
    )
    return Trainer(
        model,
        HardLabels(),
        _split(folder),
        train,
        seed=0,
        folder=folder,
        draws_frames=False,
    )


def main() -> None:
    torch.set_flush_denormal(True)
    print(f"training step, {torch.get_num_threads()} threads, GFLOP/s")
    for name, value in measure().items():
        print(f"  {name:<18}{value:8.2f}" if "share" in name else f"  {name:<18}{value:8.0f}")


if __name__ == "__main__":
    main()
