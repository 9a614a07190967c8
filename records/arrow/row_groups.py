"""The row groups of a Parquet file, decoded where a clip of one is asked for, and kept a while.

A row can be decoded only with its whole group, and shuffled clips ask for one group after the
other. So decoded groups stay in memory, as many as fit into a budget that all files of the process
share, and those that have not been asked for the longest go first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common.problems import one_line, quoted
from records.arrow.rows import Rows, wanted_columns
from records.clip import Clip
from records.errors import DataError
from records.schema import Schema

_BUDGET = 1 << 30
# Of decoded bytes for each byte in the file, beyond some for small files. Rows of zeros shrink
# most of what is meant: a multi-hot vector of 4,000 labels about a hundredfold.
_MOST_GROWTH, _ALWAYS = 512, 1 << 26
_PIECE = 1 << 20


class _Last(NamedTuple):
    """The rows that were asked for last: `first` to `end` of a file."""

    owner: RowGroups
    whole: bool
    first: int
    end: int
    rows: Rows


class Kept:
    """What was decoded last, up to a number of bytes; one of it may be greater alone.

    Attributes:
        last: Of it, what was asked for last.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held: OrderedDict[Any, tuple[Rows, int]] = OrderedDict()
        self._bytes = 0
        self.last: _Last | None = None

    def get(self, key: Any, decode: Callable[[], tuple[Rows, int]]) -> Rows:
        """What is kept under a key; `decode` gives it and its bytes where it is not."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key][0]
        rows, size = decode()
        self._held[key] = rows, size
        self._bytes += size
        while self._bytes > self._budget and len(self._held) > 1:
            self._bytes -= self._held.popitem(last=False)[1][1]
        return rows

    def drop(self, owner: object) -> None:
        """Lets go of all keys that begin with the owner."""
        for key in [key for key in self._held if key[0] is owner]:
            self._bytes -= self._held.pop(key)[1]
        if self.last is not None and self.last.owner is owner:
            self.last = None


_KEPT = Kept(_BUDGET)


class RowGroups:
    """A Parquet file, open.

    Args:
        path: Of the file.
        schema: What its rows hold.

    Attributes:
        columns: Its columns, with their types.
        counts: How many rows each group has.

    Raises:
        DataError: It is no Parquet file, or lacks a column.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self._path, self._schema = path, schema
        try:
            # Threads of Arrow's own would not outlive a fork.
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
            fields = self._file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            # Arrow tells of damage by an OSError too, which has no number then.
            said = "cannot be read" if getattr(error, "errno", None) else "is no sound Parquet file"
            raise DataError(f"{path}: {said}: {one_line(error)}") from None
        self.columns = [f"{field.name} ({field.type})" for field in fields]
        try:
            self._wanted = {
                whole: wanted_columns(fields.names, schema, whole) for whole in (False, True)
            }
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        self._types = [str(fields.field(name).type) for name in self._wanted[True]]
        metadata = self._file.metadata
        self._groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
        self.counts = [group.num_rows for group in self._groups]
        self._ends = np.cumsum(self.counts, dtype=np.int64).tolist()

    def checksums(self) -> list[int]:
        """CRC-32C of each group's columns: their bytes in the file, and their types.

        Raises:
            DataError: A column claims bytes that the file does not have.
        """
        types, size = "\n".join(self._types).encode(), self._path.stat().st_size
        out = []
        with self._path.open("rb") as file:
            for number in range(len(self._groups)):
                crc = google_crc32c.value(types)
                for column in self._chunks(number, whole=True):
                    start, left = _extent(column)
                    if start < 0 or left < 0 or start + left > size:
                        raise DataError(
                            f"{self._path}, row group {number}: column "
                            f"{quoted(column.path_in_schema)} claims bytes beyond the file; fetch "
                            "it again"
                        )
                    file.seek(start)
                    while left > 0:
                        piece = file.read(min(left, _PIECE))
                        if not piece:
                            raise DataError(f"{self._path}: shrank while it was read")
                        crc, left = google_crc32c.extend(crc, piece), left - len(piece)
                out.append(crc)
        return out

    def clip(self, row: int, with_features: bool) -> Clip:
        """The clip of a row.

        Raises:
            DataError: The row is not there, its group is damaged, or it is not as the schema has
                it.
        """
        # Clips in order need not look for their group.
        last = _KEPT.last
        if (
            last is not None
            and last.owner is self
            and last.whole == with_features
            and last.first <= row < last.end
        ):
            return last.rows.clip(row - last.first, with_features)
        group = bisect_right(self._ends, row)
        if group == len(self._ends):
            raise DataError("the shard changed after it was indexed; start again")
        first = self._ends[group] - self.counts[group]
        # Whoever wants labels alone does not wait for the features.
        rows = _KEPT.get((self, group, with_features), lambda: self._decoded(group, with_features))
        _KEPT.last = _Last(self, with_features, first, self._ends[group], rows)
        return rows.clip(row - first, with_features)

    def close(self) -> None:
        _KEPT.drop(self)
        self._file.close()

    def _decoded(self, group: int, whole: bool) -> tuple[Rows, int]:
        self._check_claims(group, whole)
        with _naming_group(group):
            table = self._file.read_row_group(group, self._wanted[whole], use_threads=False)
            if len(table) != self.counts[group]:
                raise DataError(f"row group {group} has {len(table)} rows, and claims others")
            columns = {name: table.column(name) for name in table.column_names}
            return Rows(columns, self._schema), table.nbytes

    def _check_claims(self, group: int, whole: bool) -> None:
        """Makes sure that a group does not claim far more values than its bytes can hold."""
        for column in self._chunks(group, whole):
            held, claimed = column.total_compressed_size, 8 * column.num_values
            most = _ALWAYS + _MOST_GROWTH * held
            if claimed > most or column.total_uncompressed_size > most:
                raise DataError(
                    f"row group {group}: column {quoted(column.path_in_schema)} claims "
                    f"{column.num_values} values in {held} bytes, more than would be believed; "
                    "write the file anew without such long repetitions"
                )

    def _chunks(self, group: int, whole: bool) -> Iterator[Any]:
        """What is said of each of a group's columns that are wanted."""
        names = set(self._wanted[whole])
        for number in range(self._groups[group].num_columns):
            column = self._groups[group].column(number)
            path = column.path_in_schema
            # A name may have dots.
            if any(path == name or path.startswith(f"{name}.") for name in names):
                yield column


def _extent(column: Any) -> tuple[int, int]:
    """Where the bytes of a column's group begin, and how many there are."""
    start = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None:
        start = min(start, column.dictionary_page_offset)
    return start, column.total_compressed_size


@contextmanager
def _naming_group(group: int) -> Iterator[None]:
    """What Arrow finds wrong is the file's fault.

    Raises:
        DataError: In place of its exceptions.
    """
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise DataError(
            f"row group {group} cannot be decoded: {one_line(error)}; fetch the shard again"
        ) from None
