"""Writes the demonstration data: shards of a `DemoWorld` and their vocabulary.

Every shard is a function of the spec and its number. A marker file, written first, says of which
spec a folder is; shards come into their place whole; so a generation that was killed goes on where
it stood and ends at the same bytes. Of two at once in one folder, the second waits for the first.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from common.files import write_bytes
from records.demo.labels import VERTICALS
from records.demo.world import SPLITS, DemoSpec, DemoWorld
from records.errors import DataError
from records.schema import Schema, Stream
from records.tfrecord.example import encode_clip
from records.tfrecord.framing import write_shard

VOCABULARY_NAME = "vocabulary.csv"
MARKER_NAME = "demo.json"
LOCK_NAME = ".demo.lock"  # never removed: two processes would lock two files of one name
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

    What is there already of the same spec is left as it is.

    Args:
        root: folder to write to; made if it is missing.
        spec: what to write.
        progress: called after every shard with the clips that are written, and all.

    Returns:
        The shards, split by split.

    Raises:
        DataError: the folder holds shards that were not generated, or clips of another spec, from
            which another run may be reading.
    """
    shards = _shards(root, spec)
    wanted = [*shards, root / VOCABULARY_NAME]
    # Finished data may lie where nothing can be written, not even a lock.
    if not (_marked(root) == _marker(spec) and all(path.exists() for path in wanted)):
        _refuse_foreign(root)
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / LOCK_NAME):
            _claim(root, spec)
            _write(root, spec, shards, progress or (lambda written, of: None))
    return list(shards)


def _shards(root: Path, spec: DemoSpec) -> dict[Path, tuple[str, range]]:
    """The files, each with its split and the numbers of its clips."""
    shards: dict[Path, tuple[str, range]] = {}
    for split in SPLITS:
        numbers = range(getattr(spec, f"{split}_clips"))
        for shard, first in enumerate(numbers[:: spec.clips_per_shard]):
            part = numbers[first : first + spec.clips_per_shard]
            shards[root / f"{split}-{shard:05d}.tfrecord"] = (split, part)
    return shards


def _write(
    root: Path,
    spec: DemoSpec,
    shards: dict[Path, tuple[str, range]],
    progress: Callable[[int, int], None],
) -> None:
    """Writes what is missing."""
    world = DemoWorld(spec)
    schema = demo_schema(spec)
    total = sum(len(numbers) for _, numbers in shards.values())
    written = 0
    for path, (split, numbers) in shards.items():
        if not path.exists():
            clips = (world.clip(split, number) for number in numbers)
            write_shard(path, (encode_clip(clip, schema) for clip in clips))
        written += len(numbers)
        progress(written, total)
    if not (root / VOCABULARY_NAME).exists():
        write_bytes(root / VOCABULARY_NAME, _vocabulary(world).encode())


def demo_schema(spec: DemoSpec) -> Schema:
    """The schema of the shards, without label names."""
    streams = (Stream("rgb", spec.rgb), Stream("audio", spec.audio))
    return Schema(name="demo", level="frame", streams=streams, num_labels=spec.labels)


def _refuse_foreign(root: Path) -> None:
    """Makes sure that a folder without a marker, which comes before any shard, has no shards."""
    foreign = next(root.glob("*.tfrecord"), None)
    if foreign is not None and _marked(root) is None:
        raise DataError(
            f"{foreign} was not generated here; give another folder as data.root, or set "
            "data.generated=false to use what is there"
        )


def _claim(root: Path, spec: DemoSpec) -> None:
    """Marks the folder as this spec's, and clears what a killed generation left."""
    content, before = _marker(spec), _marked(root)
    if before not in (None, content):
        raise DataError(
            f"{root} holds clips that were generated from other settings of data.demo; give "
            "another folder as data.root, or remove this one"
        )
    for path in root.glob(".*.tmp"):
        path.unlink()
    if before is None:
        write_bytes(root / MARKER_NAME, content.encode())


def _marker(spec: DemoSpec) -> str:
    return json.dumps({"version": _WORLD_VERSION, "spec": dataclasses.asdict(spec)}, indent=1)


def _marked(root: Path) -> str | None:
    marker = root / MARKER_NAME
    return marker.read_text() if marker.exists() else None


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
