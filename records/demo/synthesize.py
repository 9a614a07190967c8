"""Writes the demonstration data: shards of a `DemoWorld` and their vocabulary.

Every shard is a function of the spec and its number. A marker file, written first, says of which
spec a folder is; shards come into their place whole; so a generation that was killed goes on where
it stood and ends at the same bytes.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.files import write_bytes
from records.demo.labels import VERTICALS
from records.demo.world import SPLITS, DemoSpec, DemoWorld
from records.errors import DataError
from records.schema import Schema, Stream
from records.tfrecord.example import encode_clip
from records.tfrecord.framing import write_shard

VOCABULARY_NAME = "vocabulary.csv"
MARKER_NAME = "demo.json"
_WORLD_VERSION = 1  # goes up whenever a spec comes to mean other clips
_VOCABULARY_HEADER = (
    "Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,"
    "Vertical1,Vertical2,Vertical3,WikiDescription\n"
)
_KIND_WORDS = ("its content", "the order of two contents", "the variance of a content", "a peak")


def generate(
    root: Path, spec: DemoSpec, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Writes ``train-00000.tfrecord`` and so on for every split, and ``vocabulary.csv``.

    What is there already of the same spec is left as it is; what another spec left is replaced.

    Args:
        root: folder to write to; made if it is missing.
        spec: what to write.
        progress: called after every shard with the clips that are written, and all.

    Returns:
        The shards, split by split.

    Raises:
        DataError: the folder holds shards that were not generated.
    """
    root.mkdir(parents=True, exist_ok=True)
    _claim(root, spec)
    world = DemoWorld(spec)
    schema = demo_schema(spec)
    clips_of = {split: range(getattr(spec, f"{split}_clips")) for split in SPLITS}
    total = sum(map(len, clips_of.values()))
    paths: list[Path] = []
    written = 0
    for split, numbers in clips_of.items():
        for shard, first in enumerate(numbers[:: spec.clips_per_shard]):
            part = numbers[first : first + spec.clips_per_shard]
            paths.append(root / f"{split}-{shard:05d}.tfrecord")
            if not paths[-1].exists():
                clips = (world.clip(split, number) for number in part)
                write_shard(paths[-1], (encode_clip(clip, schema) for clip in clips))
            written += len(part)
            if progress is not None:
                progress(written, total)
    if not (root / VOCABULARY_NAME).exists():
        write_bytes(root / VOCABULARY_NAME, _vocabulary(world).encode())
    return paths


def demo_schema(spec: DemoSpec) -> Schema:
    """The schema of the shards, without label names."""
    streams = (Stream("rgb", spec.rgb), Stream("audio", spec.audio))
    return Schema(name="demo", level="frame", streams=streams, num_labels=spec.labels)


def _claim(root: Path, spec: DemoSpec) -> None:
    """Marks the folder as this spec's, and clears what a killed or another generation left.

    The old marker stays until the old shards are gone, so that they are never taken for new ones.
    """
    marker = root / MARKER_NAME
    content = json.dumps({"version": _WORLD_VERSION, "spec": dataclasses.asdict(spec)}, indent=1)
    before = marker.read_text() if marker.exists() else None
    foreign = next(root.glob("*.tfrecord"), None)
    if before is None and foreign is not None:
        raise DataError(
            f"{foreign} was not generated here; give another folder as data.root, or set "
            "data.generated=false to use what is there"
        )
    for path in root.glob(".*.tmp"):
        path.unlink()
    if before == content:
        return
    if before is not None:
        (root / VOCABULARY_NAME).unlink(missing_ok=True)
        for split in SPLITS:
            for path in root.glob(f"{split}-*.tfrecord"):
                path.unlink()
    write_bytes(marker, content.encode())


def _vocabulary(world: DemoWorld) -> str:
    """Labels in the layout of YouTube-8M's vocabulary.csv: by falling count, not by index."""
    spec = world.spec
    given = [world.given_labels("train", number) for number in range(spec.train_clips)]
    counts = np.bincount(np.concatenate(given), minlength=spec.labels)
    out = io.StringIO()
    out.write(_VOCABULARY_HEADER)
    table = csv.writer(out, lineterminator="\n")
    for label in np.argsort(-counts, kind="stable").tolist():
        verticals = dict.fromkeys(VERTICALS[v] for v in world.labels.verticals[label].tolist())
        padded = (*verticals, "", "")[:3]
        name = f"{padded[0]} {label}"
        description = f"Generated; shows by {_KIND_WORDS[world.labels.kinds[label]]}."
        table.writerow([label, counts[label], f"/demo/{label:04d}", name, "", *padded, description])
    return out.getvalue()
