"""Students that learn from further clips without their labels, through the command line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from records import Clip, SplitSpec, encode_clip, open_split, read_truth, write_shards
from tests.conftest import SMALL_MEANS, make_clips
from tests.line import Line, means_line

UNLABELED = dataclasses.replace(SMALL_MEANS, labels_key="")
TASKS = (
    "unlabeled-predictions/teachers-plain",
    "soft-unlabeled/perceptron",
    "students/plain",
)


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A finished run on means. Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


def poisoned(number: int, clip: Clip) -> bytes:
    """A record whose labels are out of range, no integers, or those of a multi-hot vector."""
    labels = (np.array([10**9]), np.array([0.5, 2.5], np.float32), np.arange(30) % 2)[number % 3]
    return encode_clip(clip, SMALL_MEANS, {"labels": labels})


def with_unlabeled(line: Line, folder: Path, records: list[bytes]) -> Line:
    """A copy of the run beside which there are such shards, in a folder of their own."""
    write_shards(folder / "further", "further", records, 20)
    changes = (
        *line.changes,
        f"distill.unlabeled.root={folder / 'further'}",
        "distill.unlabeled.shards=further-*",
        "distill.unlabeled.share=0.4",
        "distill.unlabeled.weight=0.5",
    )
    return dataclasses.replace(line.copy(folder), changes=changes)


@pytest.fixture(scope="module")
def learned(means: Line, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A run whose student had 50 further clips. Not to be changed."""
    records = [encode_clip(clip, UNLABELED) for clip in make_clips(SMALL_MEANS, 50, 7)]
    line = with_unlabeled(means, tmp_path_factory.mktemp("unlabeled"), records)
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    return line


def files(line: Line) -> dict[str, bytes]:
    """What the tasks wrote whose results these clips enter."""
    return {
        str(path.relative_to(line.run)): path.read_bytes()
        for task in TASKS
        for path in sorted((line.run / task).glob("*.safetensors"))
    }


def test_a_student_learns_from_them_and_a_teacher_does_not(means: Line, learned: Line) -> None:
    weights = "weights.safetensors"
    for task, same in (("teachers/plain", True), ("students/plain", False)):
        found = [(line.run / task / weights).read_bytes() for line in (means, learned)]
        assert (found[0] == found[1]) is same
    # 5 and 3 clips of a batch of 8: 32 steps in each of three epochs and one of averaging.
    steps = [json.loads(row)["step"] for row in (learned.run / TASKS[2] / "metrics.jsonl").open()]
    assert steps[-1] == 4 * (160 // 5)
    receipt = json.loads(learned.receipt.read_text())
    assert receipt["hashes"]["data"].keys() == {"train", "search", "report", "unlabeled"}
    assert len(receipt["seen"]) == 3


def test_labels_are_never_read(means: Line, learned: Line, tmp_path: Path) -> None:
    clips = make_clips(SMALL_MEANS, 50, 7)
    line = with_unlabeled(means, tmp_path, [poisoned(*clip) for clip in enumerate(clips)])
    outcome = line.call("stage=distill")
    assert outcome.status == 0, outcome.err
    assert len(files(line)) >= 5
    assert files(line) == files(learned)


def test_their_soft_targets_are_tasks_like_others(learned: Line, tmp_path: Path) -> None:
    line = dataclasses.replace(learned.copy(tmp_path, *TASKS[1:]), changes=learned.changes)
    wanted, bundle = files(learned), learned.bundle.read_bytes()
    assert line.call("stage=all").status == 0
    assert files(line) == wanted and line.bundle.read_bytes() == bundle
    before = line.done()
    assert line.call("stage=all").status == 0
    assert line.done() == before and before.keys() >= set(TASKS)


@pytest.mark.parametrize("split", ["train", "search", "report"])
def test_a_clip_of_another_split_is_refused(means: Line, tmp_path: Path, split: str) -> None:
    """By its id: the shard is another, and so are the clip's features."""
    spec = SplitSpec(f"{split}-*.tfrecord")
    ids = read_truth(open_split(means.data, split, spec, SMALL_MEANS, cache=None)).ids
    clips = make_clips(SMALL_MEANS, 30, 7)
    clips[21] = dataclasses.replace(clips[21], id=str(ids[45]))
    line = with_unlabeled(means, tmp_path, [encode_clip(clip, UNLABELED) for clip in clips])
    refusal = line.call("stage=teachers").refusal()
    assert f"clip '{ids[45]}' is there twice" in refusal
    assert f"{means.data / split}-00001.tfrecord ({split})" in refusal
    assert "further-00001.tfrecord (unlabeled)" in refusal
