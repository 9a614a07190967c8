"""The demonstration data on disk: deterministic, whole, and readable as any other shards."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tfrecord import example_pb2

from records import DataError, DemoSpec, SplitSpec, open_split, read_truth, with_vocabulary
from records.demo.synthesize import (
    LOCK_NAME,
    MARKER_NAME,
    VOCABULARY_NAME,
    demo_schema,
    generate,
)
from records.demo.world import DemoWorld
from tests.conftest import read_records

SPEC = DemoSpec(
    train_clips=40,
    search_clips=20,
    report_clips=20,
    test_clips=10,
    labels=30,
    min_frames=4,
    max_frames=12,
    rgb=24,
    audio=8,
    clips_per_shard=16,
)
SHARDS = [
    *(f"train-{n:05d}.tfrecord" for n in range(3)),
    *(f"search-{n:05d}.tfrecord" for n in range(2)),
    *(f"report-{n:05d}.tfrecord" for n in range(2)),
    "test-00000.tfrecord",
]


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    generate(root, SPEC)
    return root


def test_shards_and_progress(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    shards = generate(tmp_path / "new", SPEC, lambda done, all_: seen.append((done, all_)))
    assert [path.name for path in shards] == SHARDS
    assert seen == [(n, 90) for n in (16, 32, 40, 56, 60, 76, 80, 90)]
    beside = [VOCABULARY_NAME, MARKER_NAME, LOCK_NAME]
    assert sorted(os.listdir(tmp_path / "new")) == sorted([*SHARDS, *beside])


def test_same_spec_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    generate(tmp_path, SPEC)
    assert contents(tmp_path) == contents(finished)


def test_records_hold_what_the_world_shows(finished: Path) -> None:
    schema, world = demo_schema(SPEC), DemoWorld(SPEC)
    split = open_split(finished, "train", SplitSpec("train-*.tfrecord"), schema, cache=None)
    truth = read_truth(split)
    assert len(split) == SPEC.train_clips
    for number in (0, 15, 16, 39):
        clip = world.clip("train", number)
        assert truth.ids[number] == clip.id
        labels = truth.columns[truth.offsets[number] : truth.offsets[number + 1]]
        np.testing.assert_array_equal(labels, clip.labels)


def test_records_are_sequence_examples(finished: Path) -> None:
    world = DemoWorld(SPEC)
    for split in ("report", "test"):
        record = next(read_records(finished / f"{split}-00000.tfrecord"))
        message = example_pb2.SequenceExample()
        message.ParseFromString(record.tobytes())
        clip = world.clip(split, 0)
        context = message.context.feature
        assert context["id"].bytes_list.value[0].decode() == clip.id
        assert list(context["labels"].int64_list.value) == clip.labels.tolist()
        for stream in ("rgb", "audio"):
            frames = message.feature_lists.feature_list[stream].feature
            rows = [np.frombuffer(frame.bytes_list.value[0], np.uint8) for frame in frames]
            np.testing.assert_array_equal(np.stack(rows), clip.features[stream])


def test_ids_are_unique(finished: Path) -> None:
    schema = demo_schema(SPEC)
    split = open_split(finished, "all", SplitSpec("*.tfrecord"), schema, cache=None)
    assert len(set(read_truth(split).ids)) == 90


def test_vocabulary_in_the_layout_of_youtube8m(finished: Path) -> None:
    schema = with_vocabulary(demo_schema(SPEC), finished / VOCABULARY_NAME)
    assert len(set(schema.label_names)) == SPEC.labels
    assert all(schema.label_verticals)
    with (finished / VOCABULARY_NAME).open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts = [int(row["TrainVideoCount"]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    world = DemoWorld(SPEC)
    given = np.concatenate([world.given_labels("train", n) for n in range(SPEC.train_clips)])
    assert {int(r["Index"]): int(r["TrainVideoCount"]) for r in rows} == dict(
        enumerate(np.bincount(given, minlength=SPEC.labels).tolist())
    )


def test_what_is_there_is_left_alone(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.iterdir()}
    generate(finished, SPEC)
    assert {path: path.stat().st_mtime_ns for path in finished.iterdir()} == before


def test_what_is_missing_is_written(finished: Path, tmp_path: Path) -> None:
    generate(tmp_path, SPEC)
    (tmp_path / SHARDS[1]).unlink()
    (tmp_path / VOCABULARY_NAME).unlink()
    generate(tmp_path, SPEC)
    assert contents(tmp_path) == contents(finished)


def test_clips_of_another_spec_are_never_touched(finished: Path) -> None:
    before = contents(finished)
    with pytest.raises(DataError, match="generated from other settings of data"):
        generate(finished, dataclasses.replace(SPEC, train_clips=80, seed=3))
    assert contents(finished) == before


def test_other_shards_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "train-00000.tfrecord").write_bytes(b"mine")
    with pytest.raises(DataError, match="was not generated here"):
        generate(tmp_path, SPEC)
    assert contents(tmp_path) == {"train-00000.tfrecord": b"mine"}


def test_killed_halfway_it_ends_at_the_same_bytes(tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, train_clips=3000)
    script = (
        "import sys; from pathlib import Path\n"
        "from records import DemoSpec, generate\n"
        f"generate(Path(sys.argv[1]), {spec!r})"
    )
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([sys.executable, "-c", script, str(killed)])
    deadline = time.monotonic() + 120
    while len(list(killed.glob("train-*.tfrecord"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / VOCABULARY_NAME).exists()
    generate(killed, spec)
    generate(whole, spec)
    assert contents(killed) == contents(whole)
