"""Parquet files: a row a clip, read where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from records.clip import Clip
from records.formats import Listing, ShardFile, register_format
from records.schema import Schema

if TYPE_CHECKING:
    from records.arrow.row_groups import RowGroups


@register_format("parquet", suffixes=(".parquet", ".pq"))
class ParquetFile(ShardFile):
    """A Parquet file whose columns are called like the schema's keys.

    A position is the number of a row, from 0. The checksum of a row is that of all bytes in the
    file that its row group's columns take.
    """

    unit = "row"

    def __init__(self, path: Path, schema: Schema) -> None:
        super().__init__(path, schema)
        # pyarrow takes a while to be imported; who reads other shards does not need it.
        from records.arrow.row_groups import RowGroups

        self._groups: RowGroups = RowGroups(path, schema)

    def list_records(self) -> Listing:
        counts, checksums = self._groups.counts, self._groups.checksums()
        rows = sum(counts)
        return Listing(
            np.arange(rows, dtype=np.uint64),
            np.zeros(rows, np.uint32),
            np.repeat(np.array(checksums, np.uint32), counts),
        )

    def clip(self, position: int, length: int, with_features: bool = True) -> Clip:
        return self._groups.clip(position, with_features)

    read = clip

    def keys(self, position: int, length: int) -> list[str]:
        """The columns, with their types."""
        return self._groups.columns

    def close(self) -> None:
        self._groups.close()
