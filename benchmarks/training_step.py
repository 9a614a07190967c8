"""A training step against the machine's best matrix products: `python -m benchmarks.training_step`.

The perceptron of 1,536 units on 3,862 labels, batch 256, as the trainer runs it: forward, loss,
backward, clipping, fused AdamW. Its rate counts the multiplications and additions of its matrix
products alone; all else that a step does lowers it.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from benchmarks.generated import generate_split
from benchmarks.harness import as_job, best_times, print_table, timed
from families import build
from records import Batch, Split, iterate_batches, load_schema
from training.config import TrainConfig
from training.objective import HardLabels
from training.trainer import Trainer

BATCH, HIDDEN = 256, 1536
STEPS, ROUNDS = 12, 5
Precision = Literal["float32", "bfloat16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def measure() -> pd.DataFrame:
    """GFLOP/s of `product` and `step` and `share`, by precision: medians of interleaved rounds."""
    schema = load_schema("yt8m_video")
    sizes = [sum(s.size for s in schema.streams), HIDDEN, schema.num_labels]
    # The first layer's inputs need no gradient: two products a weight instead of three.
    step_flop = 2 * BATCH * (2 * sizes[0] * sizes[1] + 3 * sizes[1] * sizes[2])
    with tempfile.TemporaryDirectory() as folder:
        split = generate_split(Path(folder), schema, 4 * BATCH)
        batches = list(iterate_batches(split, BATCH))
        trainers = {name: _trainer(split, Path(folder), name) for name in DTYPES}
        rounds = []
        for _ in range(ROUNDS):
            for name, dtype in DTYPES.items():
                product = _product_rate(sizes[1], sizes[2], dtype)
                seconds, _ = timed(partial(_train, trainers[name], batches))
                rate = STEPS * step_flop / seconds / 1e9
                rounds.append((name, product, rate, rate / product))
    table = pd.DataFrame(rounds, columns=["precision", "product", "step", "share"])
    return table.groupby("precision", sort=False).median()


def _product_rate(inner: int, outer: int, dtype: torch.dtype) -> float:
    left = torch.randn(BATCH, inner, dtype=dtype)
    right = torch.randn(inner, outer, dtype=dtype)
    (seconds,) = best_times({"product": lambda: left @ right}, 10).values()
    return 2 * BATCH * inner * outer / seconds / 1e9


def _train(trainer: Trainer, batches: list[Batch]) -> None:
    for number in range(STEPS):
        trainer.step(batches[number % len(batches)])


def _trainer(split: Split, folder: Path, precision: Precision) -> Trainer:
    model = build("perceptron", {"hidden": [HIDDEN]}, split.schema)
    train = TrainConfig(
        epochs=1000, batch_size=BATCH, optimizer="adamw", weight_decay=0.01, precision=precision
    )
    return Trainer(model, HardLabels(), split, train, seed=0, folder=folder, draws_frames=False)


if __name__ == "__main__":
    as_job("benchmarks.training_step")
    torch.set_flush_denormal(True)
    print_table(f"training step, {torch.get_num_threads()} threads, GFLOP/s", measure())
