"""Memory and open files over many shards."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.children import in_child, in_memory
from benchmarks.faults.promise import Trial, promise
from records import (
    Clip,
    Schema,
    SplitSpec,
    Stream,
    encode_clip,
    iterate_batches,
    open_split,
    write_shards,
)

_SCHEMA = Schema("many", "frame", (Stream("rgb", 64),), num_labels=20)
_CLIPS, _FRAMES = 4, 100  # 26 kB a shard
_MOST_GROWTH = 16 * 2**20
_MOST_FILES = 160


@promise(
    "memory",
    "memory does not grow with the number of shards",
    how=f"one pass of batches over shards of {_CLIPS} clips; resident memory at a tenth and at the "
    "end, and open files",
    cases=4000,
)
def read_many_shards(trial: Trial) -> None:
    """From a tenth of the way on nothing is kept; each shard counts as a case."""
    random = trial.random
    # At least as many as show a leak.
    shards = max(200, trial.wanted)
    features = {"rgb": random.integers(0, 256, (_FRAMES, 64)).astype(np.uint8)}
    clips = (Clip(f"c{n}", np.array([n % 20]), features) for n in range(shards * _CLIPS))
    write_shards(trial.folder, "many", (encode_clip(c, _SCHEMA) for c in clips), per_shard=_CLIPS)
    ended = in_child(lambda: _read(trial.folder, shards))
    if not trial.case(ended.kind == "returned", f"{ended.value}", count=shards):
        return
    found = ended.value
    grown = found["end"] - found["tenth"]
    trial.case(grown < _MOST_GROWTH, f"{grown:,} bytes more at the end", count=0)
    files = found["files"]
    trial.case(files < _MOST_FILES, f"{files} files open at once", count=0)
    trial.case(found["clips"] == shards * _CLIPS, f"{found['clips']} clips", count=0)
    trial.figures.append(f"{max(0, grown) / 2**20:.1f} MiB more at the end")


def _read(folder: Path, shards: int) -> dict[str, Any]:
    split = open_split(folder, "many", SplitSpec("*.tfrecord"), _SCHEMA, cache=None)
    found = {"clips": 0, "files": 0, "tenth": 0, "end": 0}
    # A child has what its parent left open.
    before = len(os.listdir("/proc/self/fd"))
    for batch in iterate_batches(split, _CLIPS):
        found["clips"] += len(batch)
        found["files"] = max(found["files"], len(os.listdir("/proc/self/fd")) - before)
        if found["clips"] <= shards * _CLIPS // 10:
            found["tenth"] = in_memory("VmRSS")
    found["end"] = in_memory("VmRSS")
    return found
