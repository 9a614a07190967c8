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
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from common.files import write_bytes
from records.demo.labels import vertical_names
from records.demo.spec import SPLITS, DemoSpec
from records.demo.world import DemoWorld
from records.errors import DataError
from records.schema import Schema, Stream
from records.tfrecord.encoding import encode_clip
from records.tfrecord.framing import write_shard

VOCABULARY_NAME = "vocabulary.csv"
MARKER_NAME = "demo.json"
_WORLD_VERSION = 1  # goes up whenever a spec comes to mean other clips
_VOCABULARY_COLUMNS = (
    "Index",
    "TrainVideoCount",
    "KnowledgeGraphId",
    "Name",
    "WikiUrl",
    "Vertical1",
    "Vertical2",
    "Vertical3",
    "WikiDescription",
)

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class _Shard:
    """One file to write: clips `first` to `last` (exclusive) of a split."""

    name: str
    split: str
    first: int
    last: int


def generate(root: Path, spec: DemoSpec, progress: Progress | None = None) -> list[Path]:
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
    shards = list(_shards(spec))
    total = sum(shard.last - shard.first for shard in shards)
    written = 0
    for shard in shards:
        if not (root / shard.name).exists():
            _write_shard(root / shard.name, shard, world, schema)
        written += shard.last - shard.first
        if progress is not None:
            progress(written, total)
    if not (root / VOCABULARY_NAME).exists():
        write_bytes(root / VOCABULARY_NAME, _vocabulary(world).encode())
    return [root / shard.name for shard in shards]


def demo_schema(spec: DemoSpec) -> Schema:
    """The schema of the shards, without label names."""
    streams = (Stream("rgb", spec.rgb), Stream("audio", spec.audio))
    return Schema(name="demo", level="frame", streams=streams, num_labels=spec.labels)


def _shards(spec: DemoSpec) -> Iterator[_Shard]:
    for split in SPLITS:
        clips = spec.clips(split)
        for number, first in enumerate(range(0, clips, spec.clips_per_shard)):
            last = min(first + spec.clips_per_shard, clips)
            yield _Shard(f"{split}-{number:05d}.tfrecord", split, first, last)


def _write_shard(path: Path, shard: _Shard, world: DemoWorld, schema: Schema) -> None:
    clips = (world.clip(shard.split, number) for number in range(shard.first, shard.last))
    write_shard(path, (encode_clip(clip, schema) for clip in clips))


def _claim(root: Path, spec: DemoSpec) -> None:
    """Marks the folder as this spec's, and clears what a killed or another generation left.

    The old marker stays until the old shards are gone, so that they are never taken for new ones.
    """
    marker = root / MARKER_NAME
    content = json.dumps({"version": _WORLD_VERSION, "spec": dataclasses.asdict(spec)}, indent=1)
    if not marker.exists():
        foreign = next(root.glob("*.tfrecord"), None)
        if foreign is not None:
            raise DataError(
                f"{foreign} was not generated here; give another folder as data.root, or set "
                "data.generated=false to use what is there"
            )
    elif marker.read_text() != content:
        for split in SPLITS:
            for path in root.glob(f"{split}-*.tfrecord"):
                path.unlink()
        (root / VOCABULARY_NAME).unlink(missing_ok=True)
    for path in root.glob(".*.tmp"):
        path.unlink()
    if not marker.exists() or marker.read_text() != content:
        write_bytes(marker, content.encode())


def _vocabulary(world: DemoWorld) -> str:
    """Labels in the layout of YouTube-8M's vocabulary.csv: by falling count, not by index."""
    spec = world.spec
    given = [world.given_labels("train", number) for number in range(spec.train_clips)]
    counts = np.bincount(np.concatenate(given), minlength=spec.labels)
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(_VOCABULARY_COLUMNS)
    for label in np.argsort(-counts, kind="stable").tolist():
        verticals = vertical_names(world.labels, label)
        kind = world.labels.kinds[label]
        name = f"{verticals[0]} {label}"
        padded = (*verticals, "", "")[:3]
        description = f"Generated; shows by {_KIND_WORDS[kind]}."
        table.writerow([label, counts[label], f"/demo/{label:04d}", name, "", *padded, description])
    return out.getvalue()


_KIND_WORDS = ("its content", "the order of two contents", "the variance of a content", "a peak")
