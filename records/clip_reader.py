"""Clips by their place, from files of any format, and errors that say where."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from records.clip import Clip
from records.errors import DataError
from records.formats import Listing, ShardFile, format_of
from records.schema import Schema


class ClipReader:
    """Reads single clips of a list of shards; checksums and schema are verified for each.

    Holds at most `max_open` files open (least recently used ones are closed).

    Args:
        shards: The files.
        schema: What their records hold.
        format: Name of their format, or ``auto``.
        max_open: Files.
    """

    def __init__(
        self, shards: tuple[Path, ...], schema: Schema, format: str, max_open: int = 128
    ) -> None:
        self._shards = shards
        self._schema = schema
        self._format = format
        self._max_open = max_open
        self._open: OrderedDict[int, ShardFile] = OrderedDict()

    def list_records(self, shard: int) -> Listing:
        """Where the records of shard number `shard` lie."""
        return self._file(shard).list_records()

    def clip(self, shard: int, position: int, length: int) -> Clip:
        """The clip of the record at a position of shard number `shard`.

        Raises:
            DataError: The record is damaged or does not fit the schema; names shard and place.
        """
        file = self._file(shard)
        try:
            return file.clip(position, length)
        except DataError as error:
            raise file.fault(position, error) from None

    def id_and_labels(
        self, shard: int, position: int, length: int
    ) -> tuple[str, NDArray[np.int64]]:
        """As `clip`, without the features."""
        file = self._file(shard)
        try:
            return file.id_and_labels(position, length)
        except DataError as error:
            raise file.fault(position, error) from None

    def _file(self, shard: int) -> ShardFile:
        file = self._open.get(shard)
        if file is not None:
            self._open.move_to_end(shard)
            return file
        if len(self._open) >= self._max_open:
            self._open.popitem(last=False)[1].close()
        path = self._shards[shard]
        self._open[shard] = format_of(path, self._format).file(path, self._schema)
        return self._open[shard]

    def close(self) -> None:
        """Closes the files."""
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
