"""The same clips in the same shards train the same weights, whatever their format."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from families import registry
from records import Schema, Split, SplitSpec, open_split
from tests.conftest import SMALL_FRAMES, SMALL_MEANS
from tests.records.tables import table_of
from training.config import TrainConfig
from training.objective import HardLabels
from training.trainer import Trainer


def trained(split: Split, folder: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    model = registry.build("perceptron", {"hidden": [8]}, split.schema)
    train = TrainConfig(batch_size=16, epochs=2, evaluate_every=None)
    folder.mkdir()
    trainer = Trainer(model, HardLabels(), split, train, seed=5, folder=folder, draws_frames=True)
    return trainer.run().main


@pytest.mark.parametrize("schema", [SMALL_FRAMES, SMALL_MEANS], ids=["frames", "means"])
def test_weights_are_the_same(
    schema: Schema, tmp_path: Path, small_frames: Path, small_means: Path
) -> None:
    data = small_frames if schema is SMALL_FRAMES else small_means
    records = open_split(data, "train", SplitSpec("train-*"), schema, cache=None)
    clips, start = list(records.clips()), 0
    for number in range(len(records.shards)):
        count = int((records.shard == number).sum())
        part = table_of(clips[start : start + count], schema)
        pq.write_table(part, tmp_path / f"train-{number:05d}.parquet", row_group_size=7)
        start += count
    tables = open_split(tmp_path, "train", SplitSpec("train-*"), schema, cache=None)
    one, other = trained(records, tmp_path / "one"), trained(tables, tmp_path / "other")
    assert one.keys() == other.keys()
    assert all(torch.equal(values, other[name]) for name, values in one.items())
