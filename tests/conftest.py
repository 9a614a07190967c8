"""Small data sets that many tests read."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from common.threads import cores, environment

# Before the libraries are imported that read it. The models of the tests are too small to share,
# and threads that wait for each other are slow; what is computed here is what a process computes.
os.environ.update(environment(1))

import numpy as np
import pytest
import torch
from torch import Tensor

from records import Batch, Clip, Schema, Stream, encode_clip, write_shards
from records.errors import DataError
from records.tfrecord.framing import open_file, read_record, scan
from tests.object_storage import ObjectServer, serving

# Where millions of objects stay, as all modules and tests do here, a sixth of the time would go to
# looking through them for garbage.
gc.set_threshold(50_000, 20, 20)

# What a script starts in the background ignores Ctrl-C, and so would what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

SMALL_FRAMES = Schema(
    name="small_frames",
    level="frame",
    streams=(Stream("rgb", 12, "uint8"), Stream("audio", 4, "uint8")),
    num_labels=30,
)
SMALL_MEANS = Schema(
    name="small_means",
    level="video",
    streams=(Stream("mean_rgb", 12, "float32"), Stream("mean_audio", 4, "float32")),
    num_labels=30,
)


def make_clips(schema: Schema, count: int, seed: int) -> list[Clip]:
    """Clips whose labels move their features, so that training has something to find."""
    generator = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(schema.num_labels, 16))
    clips = []
    for number in range(count):
        labels = np.unique(generator.integers(0, schema.num_labels, 2))
        length = int(generator.integers(3, 9))
        shape = (length, 16) if schema.level == "frame" else (16,)
        values = centers[labels].sum(0) + 0.3 * generator.normal(size=shape)
        parts, start = {}, 0
        for stream in schema.streams:
            part = values[..., start : start + stream.size]
            start += stream.size
            if stream.encoding == "uint8":
                part = np.clip(np.rint((part + 2) * 64), 0, 255)
            parts[stream.name] = part.astype(stream.encoding)
        clips.append(Clip(f"clip{seed}-{number:05d}", labels.astype(np.int64), parts))
    return clips


def write_small_data(root: Path, schema: Schema) -> Path:
    """Splits train, search, report, test of 160, 60, 60, 20 clips, a few shards each."""
    for seed, (split, count) in enumerate(
        {"train": 160, "search": 60, "report": 60, "test": 20}.items()
    ):
        records = [encode_clip(clip, schema) for clip in make_clips(schema, count, seed)]
        write_shards(root, split, records, 40)
    return root


def read_records(shard: Path) -> Iterator[np.ndarray]:
    """The data of all records of a TFRecord file, checksums verified; errors say where."""
    listing = scan(shard)
    with open_file(shard) as file:
        for place in zip(listing.positions.tolist(), listing.lengths.tolist(), strict=True):
            try:
                record = read_record(file.fileno(), *place)
            except DataError as error:
                raise DataError(f"{shard}, byte {place[0]}: {error}") from None
            yield record
    if listing.fault:
        raise listing.fault


def dense_labels(batch: Batch) -> Tensor:
    """(B, V) float32, 1 where a clip has the label."""
    dense = torch.zeros(len(batch), batch.num_labels)
    dense[batch.labels[:, 0], batch.labels[:, 1]] = 1.0
    return dense


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than cores: whole runs wait for the disk, and for processes that others start."""
    return max(2, cores() * 3 // 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of minutes first, then whole runs and exports: begun last, one keeps a core alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    whole = ("tests", "onnx", "faults")
    items.sort(key=lambda item: (item.path not in slow, item.path.parent.name not in whole))


@pytest.fixture(scope="session")
def small_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("frames"), SMALL_FRAMES)


@pytest.fixture(scope="session")
def small_means(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("means"), SMALL_MEANS)


@pytest.fixture
def object_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    yield from serving(monkeypatch)
