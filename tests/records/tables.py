"""Clips as tables of Arrow, in the layouts that people write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from records import Batch, Clip, Schema
from records.schema import Stream

Column = Callable[[Sequence[np.ndarray], Stream], pa.Array]


def nested(values: Sequence[np.ndarray], stream: Stream) -> pa.Array:
    """Lists of numbers; lists of such lists at frame level."""
    kind = pa.list_(pa.from_numpy_dtype(np.dtype(stream.encoding)))
    kind = pa.list_(kind) if values[0].ndim == 2 else kind
    return pa.array([array.tolist() for array in values], kind)


def wide(values: Sequence[np.ndarray], stream: Stream) -> pa.Array:
    """As pandas writes what came from Python: numbers of 64 bits."""
    number = pa.float64() if stream.encoding == "float32" else pa.int64()
    kind = pa.list_(pa.list_(number)) if values[0].ndim == 2 else pa.list_(number)
    return pa.array([array.tolist() for array in values], kind)


def fixed(values: Sequence[np.ndarray], stream: Stream) -> pa.Array:
    """Lists of a fixed size; of frames, lists of them."""
    number = pa.from_numpy_dtype(np.dtype(stream.encoding))
    kind = pa.list_(number, stream.size)
    kind = pa.large_list(kind) if values[0].ndim == 2 else kind
    return pa.array([array.tolist() for array in values], kind)


def flat(values: Sequence[np.ndarray], stream: Stream) -> pa.Array:
    """All values of a clip as one list."""
    kind = pa.large_list(pa.from_numpy_dtype(np.dtype(stream.encoding)))
    return pa.array([array.ravel().tolist() for array in values], kind)


def as_bytes(values: Sequence[np.ndarray], stream: Stream) -> pa.Array:
    """All values of a clip as one byte string."""
    return pa.array([array.tobytes() for array in values], pa.binary())


def byte_rows(values: Sequence[np.ndarray], stream: Stream) -> pa.Array:
    """A byte string a frame."""
    if values[0].ndim == 1:
        return as_bytes(values, stream)
    return pa.array([[row.tobytes() for row in array] for array in values], pa.list_(pa.binary()))


LAYOUTS: dict[str, Column] = {
    f.__name__: f for f in (nested, wide, fixed, flat, as_bytes, byte_rows)
}


def table_of(
    clips: Sequence[Clip], schema: Schema, column: Column = nested, labels: Any = None
) -> pa.Table:
    """A table of some clips.

    Args:
        clips: A row each.
        schema: Names the columns.
        column: How streams are laid out.
        labels: The column of labels; None for lists of indices.
    """
    columns = {
        stream.name: column([clip.features[stream.name] for clip in clips], stream)
        for stream in schema.streams
    }
    if labels is None:
        labels = pa.array([clip.labels.tolist() for clip in clips], pa.list_(pa.int64()))
    ids = pa.array([clip.id for clip in clips])
    return pa.table({schema.id_keys[0]: ids, "made": [1] * len(clips), "labels": labels, **columns})


def write_parquet(folder: Path, table: pa.Table, per_shard: int = 10, **options: Any) -> None:
    """Writes rows in order to ``train-00000.parquet``, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(table), per_shard)):
        part = table.slice(start, per_shard)
        pq.write_table(part, folder / f"train-{number:05d}.parquet", **options)


def names_of(schema: Schema) -> tuple[str, ...]:
    """A name for each label."""
    return tuple(f"label {number}" for number in range(schema.num_labels))


def multi_hot(clips: Sequence[Clip], schema: Schema) -> list[list[int]]:
    """The clips' labels as zeros and ones."""
    rows = np.zeros((len(clips), schema.num_labels), np.int64)
    for row, clip in zip(rows, clips, strict=True):
        row[clip.labels] = 1
    return rows.tolist()


def assert_equal_batch(one: Batch, other: Batch) -> None:
    """All that two batches hold is equal."""
    assert one.ids == other.ids
    for name, values in one.features.items():
        assert values.dtype == other.features[name].dtype
        assert values.equal(other.features[name])
    for first, second in (
        (one.labels, other.labels),
        (one.mask, other.mask),
    ):
        assert (first is None) == (second is None)
        assert first is None or first.equal(second)  # type: ignore[arg-type]
