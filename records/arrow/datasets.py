"""Files of Arrow's stream format, in which Hugging Face's `datasets` saves data sets."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from common.problems import one_line
from records.clip import Clip
from records.errors import DataError
from records.formats import Listing, ShardFile, register_format
from records.schema import Schema

if TYPE_CHECKING:
    from records.arrow.rows import Rows

_PIECE = 1 << 20
# Arrays are where the file is; what is decompressed instead would take memory without end.
_MOST_ALLOCATED = 1 << 26


@register_format("datasets", suffixes=(".arrow",))
class DatasetFile(ShardFile):
    """A file of a saved data set, mapped; its columns are called like the schema's keys.

    A position is the number of a row, from 0. The checksum of a row is that of the whole file.
    """

    unit = "row"

    def __init__(self, path: Path, schema: Schema) -> None:
        super().__init__(path, schema)
        # pyarrow takes a while to be imported; who reads other shards does not need it.
        from records.arrow.rows import wanted_columns

        self._batches = _mapped(path)
        self._ends = np.cumsum([len(batch) for batch in self._batches], dtype=np.int64).tolist()
        names = self._batches[0].schema.names if self._batches else []
        try:
            self._wanted = wanted_columns(names, schema) if names else []
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        self._rows: dict[int, Rows] = {}

    def list_records(self) -> Listing:
        checksum, count = 0, self._ends[-1] if self._ends else 0
        with self.path.open("rb") as file:
            while piece := file.read(_PIECE):
                checksum = google_crc32c.extend(checksum, piece)
        columns = np.zeros(count, np.uint32), np.full(count, checksum, np.uint32)
        return Listing(np.arange(count, dtype=np.uint64), *columns)

    def clip(self, position: int, length: int, with_features: bool = True) -> Clip:
        number = bisect_right(self._ends, position)
        if number == len(self._ends):
            raise DataError("the shard changed after it was indexed; start again")
        if number not in self._rows:
            self._rows[number] = self._checked(number)
        first = self._ends[number] - len(self._batches[number])
        return self._rows[number].clip(position - first, with_features)

    read = clip

    def keys(self, position: int, length: int) -> list[str]:
        """The columns, with their types."""
        return [f"{field.name} ({field.type})" for field in self._batches[0].schema]

    def close(self) -> None:
        self._rows.clear()
        self._batches = []

    def _checked(self, number: int) -> Rows:
        """The rows of a batch, shown to lie within it."""
        import pyarrow as pa

        from records.arrow.rows import Rows

        batch = self._batches[number].select(self._wanted)
        try:
            batch.validate(full=True)
        except pa.ArrowException as error:
            raise DataError(f"its batch is damaged: {one_line(error)}; save it again") from None
        return Rows({name: batch.column(name) for name in self._wanted}, self.schema)


def _mapped(path: Path) -> list[Any]:
    """The record batches of a file, their arrays where the file is.

    Raises:
        DataError: It is no such file, or it is compressed.
    """
    import pyarrow as pa

    before, batches = pa.total_allocated_bytes(), []
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                batches.append(batch)
                if pa.total_allocated_bytes() - before > _MOST_ALLOCATED:
                    raise DataError(f"{path}: is compressed; save it without, or write Parquet")
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: is no sound file of a saved data set: {one_line(error)}; save it again"
        ) from None
    return batches
