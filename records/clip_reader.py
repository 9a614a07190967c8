"""Clips by their place: reading, parsing, and errors that say where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from records.errors import DataError
from records.schema import Schema
from records.tfrecord.example import Clip, parse_clip, parse_id_and_labels
from records.tfrecord.framing import ShardReader


class ClipReader:
    """Reads single clips of a list of shards; checksums and schema are verified for each.

    Args:
        shards: The files.
        schema: What their records hold.
    """

    def __init__(self, shards: tuple[Path, ...], schema: Schema) -> None:
        self._shards = shards
        self._schema = schema
        self._reader = ShardReader(shards)

    def clip(self, shard: int, offset: int, length: int) -> Clip:
        """The clip of the record at byte `offset` of shard number `shard`; see `parse_clip`.

        Raises:
            DataError: The record is damaged or does not fit the schema; names shard and byte.
        """
        data = self._reader.read(shard, offset, length)
        try:
            return parse_clip(data, self._schema)
        except DataError as error:
            raise DataError(f"{self._shards[shard]}, byte {offset}: {error}") from None

    def id_and_labels(self, shard: int, offset: int, length: int) -> tuple[str, NDArray[np.int64]]:
        """As `clip`, without the features."""
        data = self._reader.read(shard, offset, length)
        try:
            return parse_id_and_labels(data, self._schema)
        except DataError as error:
            raise DataError(f"{self._shards[shard]}, byte {offset}: {error}") from None

    def close(self) -> None:
        """Closes the files."""
        self._reader.close()

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
