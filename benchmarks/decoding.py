"""Frame-level decoding, checksums verified, against tf.data and the tfrecord package.

    python -m benchmarks.decoding

Writes generated clips once, then decodes them all with each reader in turn, several times over, and
compares the best times. Every reader hands out a (T, 1024) and a (T, 128) uint8 array a clip, with
id and labels. TensorFlow comes with the extra ``bench``; it runs in a process of its own, since its
protobuf messages and those of the tfrecord package cannot be loaded side by side, and times itself.
"""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generated import generate_split
from benchmarks.harness import best_times, print_figures, ratios
from records import Schema, TFRecordFile, load_schema

CLIPS = 400
FRAMES = (120, 300)
REPEATS = 5
TARGETS = {"tf.data": 3.0, "tfrecord": 6.0}


def measure(clips: int = CLIPS, repeats: int = REPEATS) -> dict[str, Any]:
    """Times each reader on the same shard.

    Returns:
        ``clips_per_second`` by reader (NaN where it is not installed), ``ratio`` of ours to each
        rival, ``clips``, ``megabytes``.
    """
    schema = load_schema("yt8m_frame")
    with tempfile.TemporaryDirectory() as folder:
        (shard,) = generate_split(Path(folder), schema, clips, FRAMES).shards
        readers = {
            "onegig": lambda: _decode(shard, schema),
            "tfrecord": lambda: _decode_with_tfrecord(shard),
        }
        seconds = best_times(readers, repeats)
        seconds["tf.data"] = _tensorflow_seconds(shard, repeats)
        megabytes = shard.stat().st_size / 1e6
    return {
        "clips": clips,
        "megabytes": megabytes,
        "clips_per_second": {name: clips / took for name, took in seconds.items()},
        "ratio": ratios(seconds, to="onegig"),
    }


def _decode(shard: Path, schema: Schema) -> int:
    values = 0
    with closing(TFRecordFile(shard, schema)) as file:
        listing = file.list_records()
        for place in zip(listing.positions.tolist(), listing.lengths.tolist(), strict=True):
            clip = file.clip(*place)
            arrays = [np.ascontiguousarray(frames) for frames in clip.features.values()]
            values += sum(array.size for array in arrays)
    return values


def _decode_with_tfrecord(shard: Path) -> int:
    """The package's sequence loader; it verifies no checksum."""
    from tfrecord.reader import tfrecord_loader

    values = 0
    loader = tfrecord_loader(
        str(shard), None, {"id": "byte", "labels": "int"}, None, {"rgb": "byte", "audio": "byte"}
    )
    for _, lists in loader:
        arrays = [
            np.stack([np.frombuffer(frame, np.uint8) for frame in frames])
            for frames in lists.values()
        ]
        values += sum(array.size for array in arrays)
    return values


def _tensorflow_seconds(shard: Path, repeats: int) -> float:
    if importlib.util.find_spec("tensorflow") is None:
        return math.nan
    command = [sys.executable, "-m", "benchmarks.decoding_tensorflow", str(shard), str(repeats)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    figures = measure()
    print_figures(f"{CLIPS} clips, one pass, best of {REPEATS}; targets: {TARGETS}", figures)
    if math.isnan(figures["ratio"]["tf.data"]):
        print("tf.data is not installed (pip install -e '.[bench]')")
