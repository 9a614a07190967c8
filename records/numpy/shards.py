"""Shards of NumPy: an `.npz` archive, or a folder of `.npy` files; an array is a schema's key."""

from __future__ import annotations

import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import IO

import google_crc32c
import numpy as np

from common.problems import quoted
from records.clip import Clip, check_clip, check_id, clip_of
from records.decompressed import Pieces, decompressed
from records.errors import DataError, listed
from records.formats import Listing, ShardFile, register_format
from records.labels import Written
from records.numpy.arrays import Ragged, is_compressed, map_array, stored_arrays, verify_archive
from records.schema import Schema
from records.values import as_encoded

_ARRAY, _PIECE = ".npy", 1 << 20


@register_format("numpy", suffixes=(".npz", _ARRAY))
class NumpyShard(ShardFile):
    """Arrays with a row a clip, called like the schema's keys; see `Ragged` for rows of any length.

    A position is the number of a row, from 0. The checksum of a row is that of all arrays. Of
    single `.npy` files the one with the ids stands for all in its folder.
    """

    unit = "row"

    def __init__(self, path: Path, schema: Schema, cache: Path | None = None) -> None:
        super().__init__(path, schema)
        self._file: IO[bytes] | None = None
        if path.suffix == _ARRAY:
            self._arrays = {part.stem: map_array(part) for part in self.parts(path)}
        else:
            self._file = self._opened(path, cache)
            self._arrays = stored_arrays(path, self._file)
        try:
            self._check()
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    @classmethod
    def open(cls, path: Path, schema: Schema, cache: Path | None) -> NumpyShard:
        return cls(path, schema, cache)

    @classmethod
    def whole(cls, path: Path, schema: Schema) -> Path:
        if path.suffix != _ARRAY:
            return path
        beside = (path.with_name(f"{key}{_ARRAY}") for key in schema.id_keys)
        return next((file for file in beside if file.is_file()), path)

    @classmethod
    def parts(cls, path: Path) -> tuple[Path, ...]:
        return tuple(sorted(path.parent.glob(f"*{_ARRAY}"))) if path.suffix == _ARRAY else (path,)

    def list_records(self) -> Listing:
        if self.path.suffix == _ARRAY:
            checksum = 0
            for part in self.parts(self.path):
                checksum = google_crc32c.extend(checksum, part.name.encode())
                with part.open("rb") as file:
                    while piece := file.read(_PIECE):
                        checksum = google_crc32c.extend(checksum, piece)
        else:
            checksum = verify_archive(self.path)
        rows = len(self._ids)
        columns = np.zeros(rows, np.uint32), np.full(rows, checksum, np.uint32)
        return Listing(np.arange(rows, dtype=np.uint64), *columns)

    def read(self, position: int, length: int) -> Clip:
        if position >= len(self._ids):
            raise DataError("the shard changed after it was indexed; start again")
        features = {}
        for stream in self.schema.streams:
            features[stream.name] = as_encoded(self._rows[stream.name].row(position), stream)
        labels, unknown = (self._written(key, position) for key in self._label_keys)
        return Clip(self._id(position), labels, features, 0, unknown)  # type: ignore[arg-type]

    def clip(self, position: int, length: int, with_features: bool = True) -> Clip:
        if with_features:
            return check_clip(self.read(position, length), self.schema)
        clip_id = self._id(position)
        check_id(clip_id)
        labels, unknown = (self._written(key, position) for key in self._label_keys)
        return clip_of(clip_id, labels, {}, self.schema, unknown)

    def keys(self, position: int, length: int) -> list[str]:
        """The arrays, with their types."""
        return [f"{name} ({own.dtype} {own.shape})" for name, own in self._arrays.items()]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    @staticmethod
    def _opened(path: Path, cache: Path | None) -> IO[bytes]:
        """The archive, its members as they are."""
        if is_compressed(path):
            return decompressed(path, cache, stored_again)
        return path.open("rb")

    @cached_property
    def _ids(self) -> np.ndarray:
        key = next((key for key in self.schema.id_keys if key in self._arrays), None)
        if key is None:
            raise DataError(
                f"no array {' or '.join(self.schema.id_keys)}; there are {listed(self._arrays)}; "
                "write the clips' ids, or set id_keys in the schema"
            )
        return self._arrays[key]

    @cached_property
    def _label_keys(self) -> tuple[str, str]:
        schema = self.schema
        return schema.labels_key, schema.unknown_labels_key if schema.labels_key else ""

    @cached_property
    def _rows(self) -> dict[str, Ragged]:
        names = [key for key in self._label_keys if key in self._arrays]
        for stream in self.schema.streams:
            if stream.name not in self._arrays:
                raise DataError(
                    f"stream {quoted(stream.name)} of schema {quoted(self.schema.name)} is "
                    f"missing; there are {listed(self._arrays)}"
                )
            names.append(stream.name)
        return {name: Ragged(name, self._arrays) for name in names}

    def _check(self) -> None:
        """Makes sure that all arrays are of as many clips as there are ids."""
        ids = self._ids
        if ids.ndim != 1 or ids.dtype.kind not in "USiu":
            raise DataError(f"the ids are {ids.dtype} {ids.shape}, not a row of texts or numbers")
        for name, rows in self._rows.items():
            if len(rows) != len(ids):
                raise DataError(f"{quoted(name)} is of {len(rows)} clips, and there are {len(ids)}")

    def _id(self, row: int) -> str:
        value = self._ids[row]
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise DataError(f"the id {quoted(value)} is not UTF-8; rewrite it") from None
        return str(value)

    def _written(self, key: str, row: int) -> Written:
        return np.atleast_1d(self._rows[key].row(row)) if key in self._rows else ()


def stored_again(path: Path, into: Pieces) -> None:
    """Writes an archive with the same members, none of them compressed."""
    try:
        with zipfile.ZipFile(path) as packed, zipfile.ZipFile(into, "w") as plain:
            for member in packed.infolist():
                name = zipfile.ZipInfo(member.filename)
                with packed.open(member) as source, plain.open(name, "w", force_zip64=True) as file:
                    while piece := source.read(_PIECE):
                        file.write(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be decompressed: {error}; fetch it again") from None
