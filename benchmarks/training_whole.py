"""Whole trainings on all cores against their steps alone: `python -m benchmarks.training_whole`.

Members of `yt8m_video` as that experiment trains them, on generated clips of its shape: as many
processes at once as there are cores, each with one thread. First each takes steps on a batch that
stays in memory, then its trainer reads shuffled shards, checks and logs, as in a run. What the
whole has of the steps' clips a second is what is left of them beside the reader.
"""

import multiprocessing
import sys
import tempfile
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pandas as pd
import torch
import yaml

from benchmarks.generated import generate_clips
from benchmarks.harness import as_job, print_table, timed
from common.codec import replaced
from common.errors import ConfigError
from common.threads import cores
from families import build
from records import (
    Batch,
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

CLIPS, PER_SHARD = 8192, 288
STEPS, ROUNDS = 16, 3
MEMBERS = ("length", "wide", "gated", "deep")
TARGET = 0.85
_CONF = Path(__file__).parent.parent / "conf"


def measure(
    members: tuple[str, ...] = MEMBERS,
    clips: int = CLIPS,
    steps: int = STEPS,
    rounds: int = ROUNDS,
    processes: int | None = None,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """Clips a second of `steps` alone and of the `whole`, all processes together, and the `share`.

    Args:
        members: Of the experiment, with gradients.
        clips: That are trained on.
        steps: Of a training.
        rounds: Of which the medians are taken.
        processes: None for as many as there are cores.
        batch_size: None for the experiment's.
    """
    processes = processes or cores()
    schema = load_schema("yt8m_video")
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = (encode_clip(clip, schema) for clip in generate_clips(schema, clips, (1, 1)))
        write_shards(folder, "generated", records, PER_SHARD)
        train = _train_config(steps, batch_size)
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(processes)
        work = partial(_rates, folder=folder, train=train, rounds=rounds)
        for member in members:
            with context.Pool(processes, _begin, (barrier,)) as pool:
                rates = pool.map(partial(work, member), range(processes), chunksize=1)
            for each in zip(*rates, strict=True):
                alone, whole = (sum(kind) for kind in zip(*each, strict=True))
                found.append((member, alone, whole, whole / alone))
    table = pd.DataFrame(found, columns=["member", "steps", "whole", "share"])
    return table.groupby("member", sort=False).median()


_barrier: Barrier


def _begin(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _rates(
    member: str, number: int, folder: Path, train: TrainConfig, rounds: int
) -> list[tuple[float, float]]:
    """By round, clips a second of the steps alone and of the whole, in one of the processes."""
    schema = load_schema("yt8m_video")
    split = open_split(folder, "train", SplitSpec("*.tfrecord"), schema, cache=None)
    config = yaml.safe_load((_CONF / "experiment/yt8m_video.yaml").read_text())["members"][member]
    batch = next(iterate_batches(split, train.batch_size))
    assert train.max_steps is not None
    out = []
    for turn in range(rounds + 1):
        place = folder / f"{member}-{number}-{turn}"
        alone = _trainer(split, place / "alone", config, train)
        _barrier.wait()
        taken, _ = timed(partial(_steps, alone, batch, train.max_steps))
        whole = _trainer(split, place / "whole", config, train)
        _barrier.wait()
        ran, _ = timed(whole.run)
        clips = train.max_steps * train.batch_size
        out.append((clips / taken, clips / ran))
    # The first round warms up.
    return out[1:]


def _steps(trainer: Trainer, batch: Batch, steps: int) -> None:
    for _ in range(steps):
        trainer.step(batch)


def _train_config(steps: int, batch_size: int | None) -> TrainConfig:
    """The experiment's settings, for so many steps and no averaging behind them."""
    own: dict[str, Any] = yaml.safe_load((_CONF / "train/one_cycle.yaml").read_text())
    own |= yaml.safe_load((_CONF / "experiment/yt8m_video.yaml").read_text())["train"]
    own |= {"max_steps": steps, "averaging_epochs": 0}
    if batch_size is not None:
        own["batch_size"] = batch_size
    return replaced(TrainConfig(), own, "train", ConfigError)


def _trainer(split: Split, folder: Path, member: dict[str, Any], train: TrainConfig) -> Trainer:
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = build(member["family"], member["config"], split.schema)
    return Trainer(model, HardLabels(), split, train, seed=0, folder=folder, draws_frames=False)


if __name__ == "__main__":
    chosen = tuple(sys.argv[1:]) or MEMBERS
    as_job("benchmarks.training_whole")
    title = f"clips/s of {cores()} trainings at once; target of the share: {TARGET}"
    print_table(title, measure(chosen))
