"""Files of any known format as tables, looked at without a schema."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tfrecord import example_pb2

from common.problems import one_line
from records.decompressed import GZIP, decompressed, gunzip
from records.errors import DataError
from records.numpy.arrays import Ragged, is_compressed, map_array, stored_arrays
from records.numpy.shards import NumpyShard, stored_again
from records.tfrecord.framing import open_file, read_record, scan

# Rows that are looked at, to tell what the columns hold.
_LOOKED_AT = 64
# Rows that are read at a time.
_PIECE = 1 << 12


class Source(ABC):
    """A format: how many rows a file of it has, and what is in them."""

    @abstractmethod
    def count(self, path: Path) -> int:
        """The rows of a file."""

    @abstractmethod
    def head(self, path: Path) -> pa.Table:
        """Its first rows."""

    @abstractmethod
    def column(self, path: Path, name: str) -> Iterator[pa.Array]:
        """All values of a column, some rows at a time; none or nulls where there is no such one."""


class ParquetSource(Source):
    """A row a clip."""

    def count(self, path: Path) -> int:
        with _opened(path) as file:
            return int(file.metadata.num_rows)

    def head(self, path: Path) -> pa.Table:
        with _opened(path) as file:
            batch = next(file.iter_batches(_LOOKED_AT), None)
            if batch is None:
                return file.schema_arrow.empty_table()
            return pa.Table.from_batches([batch])

    def column(self, path: Path, name: str) -> Iterator[pa.Array]:
        with _opened(path) as file:
            if name in file.schema_arrow.names:
                for batch in file.iter_batches(columns=[name]):
                    yield batch.column(0)


class DatasetSource(Source):
    """A file of a saved data set of Hugging Face: a row a clip."""

    def count(self, path: Path) -> int:
        return sum(map(len, _batches(path)))

    def head(self, path: Path) -> pa.Table:
        batches = [batch for batch, _ in zip(_batches(path), range(1), strict=False)]
        return pa.Table.from_batches(batches).slice(0, _LOOKED_AT) if batches else pa.table({})

    def column(self, path: Path, name: str) -> Iterator[pa.Array]:
        for batch in _batches(path):
            if name in batch.schema.names:
                yield batch.column(name)


class NumpySource(Source):
    """An `.npz` archive, or all `.npy` files of a folder: arrays with a row a clip."""

    def count(self, path: Path) -> int:
        with _arrays(path) as arrays:
            return max((len(Ragged(name, arrays)) for name in _names(arrays)), default=0)

    def head(self, path: Path) -> pa.Table:
        with _arrays(path) as arrays:
            columns = {name: next(_pieces(name, arrays, _LOOKED_AT)) for name in _names(arrays)}
        least = min(map(len, columns.values()), default=0)
        return pa.table({name: values.slice(0, least) for name, values in columns.items()})

    def column(self, path: Path, name: str) -> Iterator[pa.Array]:
        with _arrays(path) as arrays:
            if name in arrays:
                yield from _pieces(name, arrays, _PIECE)


class TFRecordSource(Source):
    """A record a clip, `tf.Example` or `tf.SequenceExample`."""

    def count(self, path: Path) -> int:
        with _uncompressed(path) as file:
            return len(scan(path, file.fileno()).positions)

    def head(self, path: Path) -> pa.Table:
        records = zip(range(_LOOKED_AT), _records(path), strict=False)
        rows = [_values(record) for _, record in records]
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: _array([row.get(name) for row in rows]) for name in names})

    def column(self, path: Path, name: str) -> Iterator[pa.Array]:
        rows: list[object] = []
        for record in _records(path):
            rows.append(_values(record, name).get(name))
            if len(rows) == _PIECE:
                yield _array(rows)
                rows = []
        if rows:
            yield _array(rows)


SOURCES: dict[str, Source] = {
    "parquet": ParquetSource(),
    "tfrecord": TFRecordSource(),
    "numpy": NumpySource(),
    "datasets": DatasetSource(),
}


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is no sound Parquet file: {one_line(error)}") from None


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            yield from reader
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: is no sound file of a saved data set: {one_line(error)}"
        ) from None


@contextmanager
def _arrays(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of a shard by name."""
    if path.suffix == ".npy":
        yield {part.stem: map_array(part) for part in NumpyShard.parts(path)}
        return
    packed = is_compressed(path)
    with decompressed(path, None, stored_again) if packed else path.open("rb") as file:
        yield stored_arrays(path, file)


def _names(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Those that are no bounds of another."""
    bounds = {f"{name}_{suffix}" for name in arrays for suffix in ("offsets", "lengths")}
    return [name for name, own in arrays.items() if name not in bounds and own.ndim]


def _pieces(name: str, arrays: Mapping[str, np.ndarray], rows: int) -> Iterator[pa.Array]:
    """A column, so many rows at a time; one piece at least."""
    own = Ragged(name, arrays)
    for start in range(0, max(len(own), 1), rows):
        piece = [own.row(row) for row in range(start, min(start + rows, len(own)))]
        if piece and piece[0].ndim > 1:
            yield pa.array([list(frames) for frames in piece])
        elif piece and piece[0].ndim == 0:
            yield pa.array(np.array(piece))
        else:
            yield pa.array(piece)


def _uncompressed(path: Path) -> IO[bytes]:
    """A file of records, open; gzip is undone."""
    file = open_file(path)
    if os.pread(file.fileno(), len(GZIP), 0) != GZIP:
        return file
    file.close()
    return decompressed(path, None, gunzip)


def _records(path: Path) -> Iterator[bytes]:
    """The data of a file's records, checksums verified."""
    with _uncompressed(path) as file:
        listing = scan(path, file.fileno())
        for place in zip(listing.positions.tolist(), listing.lengths.tolist(), strict=True):
            yield read_record(file.fileno(), *place).tobytes()
    if listing.fault:
        raise listing.fault


def _values(record: bytes, only: str | None = None) -> dict[str, object]:
    """What a record holds, by key; a list of frames is a list of lists or of byte strings.

    On the wire a `tf.Example` is a `tf.SequenceExample` without lists.
    """
    message = example_pb2.SequenceExample()
    try:
        message.ParseFromString(record)
    except ValueError as error:
        raise DataError(f"a record is no tf.Example: {one_line(error)}") from None
    found: dict[str, object] = {}
    for key, feature in message.context.feature.items():
        if only in (None, key):
            values = _feature(feature)
            single = len(values) == 1 and feature.WhichOneof("kind") == "bytes_list"
            found[key] = values[0] if single else values
    for key, frames in message.feature_lists.feature_list.items():
        if only in (None, key):
            found[key] = [_frame(feature) for feature in frames.feature]
    return found


def _feature(feature: object) -> list[object]:
    kind = feature.WhichOneof("kind")  # type: ignore[attr-defined]
    return list(getattr(feature, kind).value) if kind else []


def _frame(feature: object) -> object:
    values = _feature(feature)
    return values[0] if values and isinstance(values[0], bytes) else values


def _array(rows: list[object]) -> pa.Array:
    """A column of what records hold; of lists if any row has one."""
    if any(isinstance(row, list) for row in rows):
        rows = [row if row is None or isinstance(row, list) else [row] for row in rows]
    return pa.array(rows)
