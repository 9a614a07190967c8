"""Frame-level decoding, checksums verified, against tf.data and the tfrecord package.

    python -m benchmarks.decoding

Writes generated clips once, then decodes them all with each reader in turn, several times over, and
compares the best times. Every reader hands out a (T, 1024) and a (T, 128) uint8 array a clip, with
id and labels. TensorFlow comes with the extra ``bench``; it runs in a process of its own, since its
protobuf messages and those of the tfrecord package cannot be loaded side by side, and times itself.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from records import Clip, Schema, TFRecordFile, encode_clip, load_schema, write_shards

CLIPS = 400
FRAMES = (120, 300)
REPEATS = 5
TARGETS = {"tf.data": 3.0, "tfrecord": 6.0}


def measure(clips: int = CLIPS, repeats: int = REPEATS) -> dict[str, Any]:
    """Times each reader on the same shard.

    Returns:
        ``clips_per_second`` by reader (None where it is not installed), ``ratio`` of ours to each
        rival, ``clips``, ``megabytes``.
    """
    schema = load_schema("yt8m_frame")
    with tempfile.TemporaryDirectory() as folder:
        records = (encode_clip(clip, schema) for clip in _generate(clips, schema))
        (shard,) = write_shards(Path(folder), "bench", records, per_shard=clips)
        ours = _best(lambda: _decode(shard, schema), repeats)
        rivals = {
            "tfrecord": _best(lambda: _decode_with_tfrecord(shard), repeats),
            "tf.data": _tensorflow_seconds(shard, repeats),
        }
        megabytes = shard.stat().st_size / 1e6
    rates = {name: clips / s if s else None for name, s in rivals.items()}
    return {
        "clips": clips,
        "megabytes": megabytes,
        "clips_per_second": {"onegig": clips / ours, **rates},
        "ratio": {name: s / ours for name, s in rivals.items() if s},
    }


def _generate(clips: int, schema: Schema) -> Iterator[Clip]:
    generator = np.random.default_rng(0)
    for number in range(clips):
        frames = int(generator.integers(FRAMES[0], FRAMES[1] + 1))
        features = {
            stream.name: generator.integers(0, 256, (frames, stream.size), np.uint8)
            for stream in schema.streams
        }
        labels = np.unique(generator.integers(0, schema.num_labels, 3))
        yield Clip(f"clip{number:05d}", labels, features)


def _best(decode: Callable[[], int], repeats: int) -> float:
    """Seconds of the fastest of several passes."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        decode()
        times.append(time.perf_counter() - start)
    return min(times)


def _decode(shard: Path, schema: Schema) -> int:
    values = 0
    file = TFRecordFile(shard, schema)
    listing = file.list_records()
    for place in zip(listing.positions.tolist(), listing.lengths.tolist(), strict=True):
        clip = file.clip(*place)
        arrays = [np.ascontiguousarray(frames) for frames in clip.features.values()]
        values += sum(array.size for array in arrays)
    file.close()
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


def _tensorflow_seconds(shard: Path, repeats: int) -> float | None:
    if importlib.util.find_spec("tensorflow") is None:
        return None
    command = [sys.executable, "-m", "benchmarks.decoding_tensorflow", str(shard), str(repeats)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def main() -> dict[str, Any]:
    """Measures, prints a table and returns the figures."""
    figures = measure()
    print(f"{figures['clips']} clips, {figures['megabytes']:.0f} MB, one pass, best of {REPEATS}")
    print(f"{'reader':<10} {'clips/s':>9} {'ours is':>9} {'target':>7}")
    for name, rate in figures["clips_per_second"].items():
        if rate is None:
            print(f"{name:<10} not installed (pip install -e '.[bench]')")
            continue
        ratio = figures["ratio"].get(name)
        comparison = f"{ratio:>8.1f}x {TARGETS[name]:>6.0f}x" if ratio else ""
        print(f"{name:<10} {rate:>9.0f} {comparison}")
    return figures


if __name__ == "__main__":
    main()
