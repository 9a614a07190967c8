"""Clips a second from Parquet, saved data sets and NumPy, against pyarrow alone and TFRecords.

    python -m benchmarks.formats

Writes the same generated clips in every format once, frames and means, then reads them all in the
order of the files with each reader in turn, several times over, and compares the best times. Every
reader hands out id, labels and an array a stream for each clip; ours also holds them against the
schema. "pyarrow alone" decodes the Parquet file a row group at a time and cuts its columns by their
bounds, as one would by hand.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.generated import generate_split
from benchmarks.harness import best_times, print_figures, ratios
from records import Clip, Schema, ShardFile, Split, Stream, load_schema
from records.formats import format_of

CLIPS = {"frame": 400, "video": 8000}
FRAMES = (120, 300)
ROW_GROUP = {"frame": 100, "video": 2000}
REPEATS = 7
TARGET = 0.7
_BATCH = 1000


def measure(level: str, clips: int, repeats: int = REPEATS) -> dict[str, Any]:
    """Times each reader on the same clips.

    Returns:
        ``clips_per_second`` by reader, ``ratio`` of ours for Parquet to each other, ``clips``,
        ``megabytes`` of the TFRecord.
    """
    schema = load_schema("yt8m_frame" if level == "frame" else "yt8m_video")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        split = generate_split(folder, schema, clips, FRAMES)
        paths = {"tfrecord": split.shards[0], **written(folder, split)}
        readers: dict[str, Callable[[], int]] = {
            kind: partial(read_all, path, schema, places(path, schema))
            for kind, path in paths.items()
        }
        readers["pyarrow alone"] = partial(_by_hand, paths["parquet"], schema)
        seconds = best_times(readers, repeats)
        megabytes = split.shards[0].stat().st_size / 1e6
    return {
        "clips": clips,
        "megabytes": megabytes,
        "clips_per_second": {name: clips / took for name, took in seconds.items()},
        "ratio": ratios(seconds, to="parquet"),
    }


def written(folder: Path, split: Split) -> dict[str, Path]:
    """The clips of a split in the other formats: the file of each."""
    schema, clips = split.schema, list(split.clips())
    columns = {stream.name: _column(clips, stream) for stream in schema.streams}
    ids, labels = [clip.id for clip in clips], [clip.labels.tolist() for clip in clips]
    table = pa.table({"id": ids, "labels": pa.array(labels, pa.list_(pa.int64())), **columns})
    parquet, arrow, archive = (folder / f"clips.{end}" for end in ("parquet", "arrow", "npz"))
    pq.write_table(table, parquet, row_group_size=ROW_GROUP[schema.level])
    with pa.OSFile(str(arrow), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=_BATCH)
    arrays: dict[str, Any] = {
        "id": np.array(ids),
        **_ragged("labels", [clip.labels for clip in clips]),
    }
    for stream in schema.streams:
        arrays |= _ragged(stream.name, [np.atleast_2d(c.features[stream.name]) for c in clips])
        if schema.level == "video":
            del arrays[f"{stream.name}_offsets"]
    np.savez(archive, **arrays)
    return {"parquet": parquet, "datasets": arrow, "numpy": archive}


def _column(clips: Sequence[Clip], stream: Stream) -> pa.Array:
    """Vectors as lists; of frames lists of them."""
    arrays = [np.ascontiguousarray(clip.features[stream.name]) for clip in clips]
    values = pa.array(np.concatenate([array.ravel() for array in arrays]))
    bounds = np.arange(0, len(values) + 1, stream.size, dtype=np.int32)
    vectors = pa.ListArray.from_arrays(bounds, values)
    if arrays[0].ndim == 1:
        return vectors
    return pa.ListArray.from_arrays(np.cumsum([0, *map(len, arrays)], dtype=np.int32), vectors)


def _ragged(name: str, rows: Sequence[np.ndarray]) -> dict[str, Any]:
    return {name: np.concatenate(rows), f"{name}_offsets": np.cumsum([0, *map(len, rows)])}


def places(path: Path, schema: Schema) -> list[tuple[int, int]]:
    """Where the clips of a file lie, which a run finds out once and keeps."""
    with closing(format_of(path, "auto").file.open(path, schema, None)) as file:
        rows = file.list_records()
        return list(zip(rows.positions.tolist(), rows.lengths.tolist(), strict=True))


def read_all(path: Path, schema: Schema, found: Sequence[tuple[int, int]]) -> int:
    """Opens a file and reads its clips; returns how many values they have."""
    values = 0
    file: ShardFile = format_of(path, "auto").file.open(path, schema, None)
    for place in found:
        clip = file.clip(*place)
        values += sum(np.ascontiguousarray(own).size for own in clip.features.values())
    file.close()
    return values


def _by_hand(path: Path, schema: Schema) -> int:
    values = 0
    file = pq.ParquetFile(path)
    names = ["id", "labels", *(stream.name for stream in schema.streams)]
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, names, use_threads=False)
        for _, _, arrays in _rows(table, schema):
            values += sum(np.ascontiguousarray(array).size for array in arrays)
    return values


def _rows(table: pa.Table, schema: Schema) -> Iterator[tuple[str, list[int], list[np.ndarray]]]:
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    ids, labels = columns["id"].to_pylist(), columns["labels"].to_pylist()
    cut = []
    for stream in schema.streams:
        lists = columns[stream.name]
        bounds = lists.offsets.to_numpy()
        frames = lists.values
        if schema.level == "frame":
            bounds, frames = frames.offsets.to_numpy()[bounds], frames.values
        cut.append((bounds.tolist(), frames.to_numpy(), stream.size))
    for row, clip_id in enumerate(ids):
        arrays = [
            values[bounds[row] : bounds[row + 1]].reshape(-1, size) for bounds, values, size in cut
        ]
        yield clip_id, labels[row], arrays


if __name__ == "__main__":
    for level, count in CLIPS.items():
        title = f"{level} level, {count} clips, one pass, best of {REPEATS}; target {TARGET}"
        print_figures(title, measure(level, count))
