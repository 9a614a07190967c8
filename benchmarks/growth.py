"""What grows with the data and what does not: time and memory for 1, 10 and 100 shards.

    python -m benchmarks.growth

Shards are of video-level clips in the shape of YouTube-8M's, predictions of its 3,862 labels. Each
piece of a run is called in a child of its own; shown are its seconds of one processor and the most
memory that it took beyond what the process had before, pages of mapped files included.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.faults.children import in_child
from benchmarks.generated import generate_clips
from benchmarks.harness import print_table
from distill import SoftTargets, mix_teachers
from ensemble import WeightedScorer
from metrics import Labels
from records import (
    Schema,
    Split,
    SplitSpec,
    encode_clip,
    iterate_batches,
    load_schema,
    open_split,
    write_shards,
)
from records.census import take_census
from runs import Predictions, PredictionsWriter

SHARDS, CLIPS_A_SHARD = (1, 10, 100), 1600
SCHEMA, MODELS, STORED, TAUGHT, WEIGHTINGS = "yt8m_video", 3, 100, 20, 64
_MEMORY, _SECONDS = 12 * 2**30, 600.0
_BATCH = 256


def measure(
    shards: Iterable[int] = SHARDS, clips_a_shard: int = CLIPS_A_SHARD
) -> dict[str, dict[int, tuple[float, int]]]:
    """Seconds of a processor and bytes of memory, by piece and by number of shards."""
    numbers = sorted(shards)
    schema = load_schema(SCHEMA)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root / "data", schema, numbers[-1], clips_a_shard)
        pieces: dict[str, Callable[[int], object]] = {
            "index of the shards": partial(_index, root, schema),
            "count of the labels": partial(_census, root, schema),
            "an epoch, shuffled": partial(_epoch, root, schema),
            "predictions of a model": partial(_predict, root, clips_a_shard),
            f"soft targets of {MODELS} models": partial(_teach, root),
            "soft targets, looked up": partial(_look_up, root, clips_a_shard),
            f"{WEIGHTINGS} weightings of {MODELS} models": partial(_weigh, root),
        }
        found: dict[str, dict[int, tuple[float, int]]] = {}
        for name, piece in pieces.items():
            for number in numbers:
                ended = in_child(partial(_done, piece, number), _MEMORY, _SECONDS)
                if ended.kind != "returned":
                    raise RuntimeError(f"{name}, {number} shards: {ended.kind}: {ended.value}")
                found.setdefault(name, {})[number] = (ended.seconds, ended.peak)
    return found


def _done(piece: Callable[[int], object], number: int) -> None:
    torch.set_num_threads(1)
    piece(number)


def _write(folder: Path, schema: Schema, shards: int, clips_a_shard: int) -> None:
    clips = generate_clips(schema, shards * clips_a_shard, (1, 1))
    write_shards(folder, "train", (encode_clip(clip, schema) for clip in clips), clips_a_shard)


def _open(root: Path, schema: Schema, shards: int) -> Split:
    names = tuple(path.name for path in sorted((root / "data").iterdir())[:shards])
    cache = root / f"index-{shards}"
    cache.mkdir(exist_ok=True)
    return open_split(root / "data", "train", SplitSpec(names), schema, cache=cache)


def _index(root: Path, schema: Schema, shards: int) -> None:
    _open(root, schema, shards)


def _census(root: Path, schema: Schema, shards: int) -> None:
    take_census(_open(root, schema, shards), root / f"index-{shards}")


def _epoch(root: Path, schema: Schema, shards: int) -> None:
    for _ in iterate_batches(_open(root, schema, shards), _BATCH, shuffle_seed=0):
        pass


def _predict(root: Path, clips_a_shard: int, shards: int) -> None:
    """Log-odds that nobody computed, stored as those of a model."""
    schema, generator = load_schema(SCHEMA), np.random.default_rng(0)
    writer = PredictionsWriter(schema.num_labels, STORED)
    ids = _ids(shards * clips_a_shard)
    for start in range(0, len(ids), _BATCH):
        rows = ids[start : start + _BATCH]
        drawn = generator.standard_normal((len(rows), schema.num_labels), np.float32)
        writer.append(rows, torch.from_numpy(drawn * 2 - 7))
    writer.finish().save(_predictions(root, shards, 0))


def _teach(root: Path, shards: int) -> None:
    models = [Predictions.load(_predictions(root, shards, number)) for number in range(MODELS)]
    mix_teachers(models, [1 / MODELS] * MODELS, TAUGHT).save(root / f"soft-{shards}")


def _look_up(root: Path, clips_a_shard: int, shards: int) -> None:
    """The rows of a training's batches, in an order of its own."""
    targets = SoftTargets.load(root / f"soft-{shards}", load_schema(SCHEMA).num_labels)
    ids = np.array(_ids(shards * clips_a_shard))
    order = np.random.default_rng(0).permutation(len(ids))
    for start in range(0, len(ids), _BATCH):
        rows = targets.rows(ids[order[start : start + _BATCH]].tolist())
        targets.probabilities[rows].sum()


def _weigh(root: Path, shards: int) -> None:
    models = [Predictions.load(_predictions(root, shards, number)) for number in range(MODELS)]
    generator = np.random.default_rng(0)
    clips, num_labels = len(models[0]), models[0].num_labels
    rows = np.repeat(np.arange(clips), 3)
    columns = generator.integers(0, num_labels // 3, len(rows)) * 3 + np.tile(range(3), clips)
    truth = Labels.from_pairs(rows, columns, clips, num_labels)
    weights = generator.dirichlet(np.ones(MODELS), WEIGHTINGS)
    WeightedScorer(models, truth).gap(weights)


def _ids(clips: int) -> list[str]:
    return [f"clip{number:07d}" for number in range(clips)]


def _predictions(root: Path, shards: int, model: int) -> Path:
    """Where a model's predictions lie. All models say the same: it takes as long."""
    path, first = (root / f"predictions-{shards}-{number}" for number in (model, 0))
    if model and not path.exists():
        shutil.copy(first, path)
    return path


def table(found: Mapping[str, Mapping[int, tuple[float, int]]]) -> pd.DataFrame:
    """A row for each piece: seconds, then megabytes, by the number of shards."""
    columns: dict[str, dict[str, float]] = {}
    for place, unit, scale in ((0, "s", 1.0), (1, "MB", 1e6)):
        for piece, own in found.items():
            for shards, figures in own.items():
                columns.setdefault(f"{shards}: {unit}", {})[piece] = figures[place] / scale
    return pd.DataFrame(columns)


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    print_table(f"shards of {CLIPS_A_SHARD:,} clips", table(measure(given or SHARDS)))
