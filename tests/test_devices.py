"""A training on several devices, through a stage: a rank that is killed, and the same weights."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.line import blank_means_line, processes_on, wait_for
from training.checkpoint import CHECKPOINT_NAME

SETTINGS = ("stage=teachers", "train.precision=float32", "train.epochs=6")


def kill_rank(training: Path, rank: int) -> None:
    """Kills a rank as soon as there is a checkpoint."""
    wait_for((training / CHECKPOINT_NAME).exists)
    ranks = psutil.Process(int((training / "LOCK").read_text())).children()
    (victim,) = [each for each in ranks if f"rank {rank}" in " ".join(each.cmdline())]
    os.kill(victim.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_rank_begins_again_and_all_end_at_the_weights_of_one_device(
    tmp_path: Path,
) -> None:
    line = blank_means_line(tmp_path, ("~members.vlad", "~members.bag", "~members.sequence"))
    alone, shared = (tmp_path / "outputs" / run / "teachers/plain" for run in ("one", "two"))
    outcome = line.call(*SETTINGS, "run=one")
    assert outcome.status == 0, outcome.err
    killer = threading.Thread(target=kill_rank, args=(shared, 1))
    killer.start()
    outcome = line.call(*SETTINGS, "run=two", "train.devices=2", "train.checkpoint_seconds=0")
    killer.join()
    assert outcome.status == 0, outcome.err
    log = (shared / "log.txt").read_text()
    assert "a rank ended; all begin again, for the 1. time" in log and "goes on at step" in log
    weights, theirs = (load_file(place / "weights.safetensors") for place in (alone, shared))
    for name, value in weights.items():
        torch.testing.assert_close(theirs[name], value, rtol=0, atol=1e-5, msg=name)
    assert not processes_on(tmp_path)


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    line = blank_means_line(tmp_path, ("~members.vlad", "~members.bag", "~members.sequence"))
    refusal = line.call("stage=teachers", "members.plain.train.devices=3").refusal()
    assert "batch_size: 8 clips are not shared evenly by 3 devices" in refusal
