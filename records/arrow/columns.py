"""Columns of Arrow: lists, strings and bytes of some rows, read in place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from common.problems import quoted
from records.errors import DataError
from records.labels import Written
from records.schema import Stream
from records.values import as_encoded


class Lists:
    """A column of labels: a list a row, or one label a row; no label where there is null.

    Args:
        array: The column.
        dense: Whether they are long rows of numbers, which are better left as they are.
    """

    def __init__(self, array: pa.Array, dense: bool) -> None:
        array = plain(array)
        self._nulls = _nulls(array)
        if is_list(array.type):
            bounds, self._values = _bounds(array)
        else:
            bounds, self._values = np.arange(len(array) + 1), array
        self._bounds: list[int] = bounds.tolist()
        self._values = plain(self._values)
        self._whole = self._values.null_count == 0
        numbers = _numbers(self._values)
        self._written: Written | None = numbers if dense or numbers is None else numbers.tolist()

    def indices(self, num_labels: int) -> NDArray[np.int64] | None:
        """The values of all rows, if they are ascending labels in each, and none is null."""
        values, starts = _numbers(self._values), np.array(self._bounds[:-1])
        if (
            values is None
            or values.dtype.kind not in "iu"
            or not self._whole
            or self._nulls is not None
        ):
            return None
        own = values[self._bounds[0] : self._bounds[-1]]
        if own.size and not 0 <= own.min() <= own.max() < num_labels:
            return None
        # Compared as they are: of unsigned numbers a difference is never below 0.
        rises = np.ones(len(values) + 1, np.bool_)
        rises[1:-1] = values[1:] > values[:-1]
        rises[starts] = True
        if not rises[self._bounds[0] : self._bounds[-1]].all():
            return None
        indices = values.astype(np.int64)
        indices.setflags(write=False)
        return indices

    def cut(self, values: NDArray[np.int64], row: int) -> NDArray[np.int64]:
        """Of the values of all rows those of one."""
        return values[self._bounds[row] : self._bounds[row + 1]]

    def row(self, row: int) -> Written:
        """What is written there.

        Raises:
            DataError: A label is null.
        """
        if self._nulls is not None and self._nulls[row]:
            return ()
        start, end = self._bounds[row], self._bounds[row + 1]
        if not self._whole and self._values[start:end].null_count:
            raise DataError(
                "a label is null; leave it out, or name the unknown labels under a key of their "
                "own (unknown_labels_key)"
            )
        if self._written is not None:
            return self._written[start:end]
        written: list[object] = self._values[start:end].to_pylist()
        return written


class Vectors:
    """A column of a stream: one vector a row at video level, its frames at frame level.

    A vector is a list of numbers, or a byte string of its bytes (little-endian); frames are a list
    of vectors, or all their values as one list or byte string.

    Attributes:
        finite: Whether all values are, as far as that can be told of all at once.
    """

    def __init__(self, array: pa.Array, stream: Stream, level: str) -> None:
        self._stream, self._at_frame_level = stream, level == "frame"
        array = plain(array)
        self._nulls, self._type = _nulls(array), array.type
        self._rows: np.ndarray | None = None
        self._wrong: NDArray[np.bool_] | None = None
        if not (is_list(array.type) or is_bytes(array.type)):
            raise self._misfit()
        self._bounds, values = _bounds(array)
        values = plain(values)
        if self._at_frame_level and (is_list(values.type) or is_bytes(values.type)):
            values = self._within(values)
        self._whole = values.null_count == 0
        numbers = _numbers(values)
        if numbers is None:
            raise self._misfit()
        # Floats as a byte string are so many bytes.
        self._packed = stream.encoding == "float32" and is_bytes(self._type)
        fitting = "f" if stream.encoding == "float32" and not self._packed else "iu"
        if numbers.dtype.kind not in fitting:
            raise self._misfit()
        self._values, self._array = numbers, values
        self._starts: list[int] = self._bounds.tolist()
        # What is looked at once for all rows costs a row nothing.
        self._exact = numbers.dtype == stream.encoding
        self.finite = not self._packed and self._exact and _finite(numbers)
        sound = self.finite and self._whole and self._nulls is None and not self._at_frame_level
        if sound and bool((np.diff(self._bounds) == stream.size).all()):
            own = numbers[self._starts[0] : self._starts[-1]]
            self._rows = own.reshape(-1, stream.size)

    def row(self, row: int) -> np.ndarray:
        """(D,) or (T, D) of the stream's type.

        Raises:
            DataError: It is null, of another size, or a value is null or no byte.
        """
        if self._rows is not None:
            return self._rows[row]
        stream = self._stream
        start, end = self._starts[row], self._starts[row + 1]
        if self._nulls is not None and self._nulls[row]:
            raise DataError(f"stream {quoted(stream.name)} is null; leave the row out")
        if not self._whole and self._array[start:end].null_count:
            raise DataError(f"stream {quoted(stream.name)} holds a null; leave the row out")
        values, size = self._values[start:end], end - start
        wrong = self._wrong is not None and bool(self._wrong[row])
        if self._packed and size % 4 == 0:
            values, size = values.view("<f4"), size // 4
        if wrong or (size % stream.size if self._at_frame_level else size != stream.size):
            of = "in frames of another size" if wrong else "in all"
            raise DataError(
                f"stream {quoted(stream.name)} should be {stream.size} x {stream.encoding} a "
                f"vector; found {size} values {of}; check the schema"
            )
        if not self._exact:
            values = as_encoded(values, stream)
        return values.reshape(-1, stream.size) if self._at_frame_level else values

    def _within(self, vectors: pa.Array) -> pa.Array:
        """The values of frames that are lists or byte strings; bounds are those of values then."""
        inner, values = _bounds(vectors)
        self._type = vectors.type
        packed = self._stream.encoding == "float32" and is_bytes(vectors.type)
        size = self._stream.size * (4 if packed else 1)
        missing = _nulls(vectors)
        wrong = np.diff(inner) != size
        if missing is not None:
            wrong |= missing
        if wrong.any():
            before = np.concatenate([[0], np.cumsum(wrong)])
            self._wrong = np.diff(before[self._bounds]) > 0
        self._bounds = inner[self._bounds]
        return plain(values)

    def _misfit(self) -> DataError:
        stream, lists = self._stream, "a list of lists" if self._at_frame_level else "a list"
        kind = "floats" if stream.encoding == "float32" else "bytes or whole numbers"
        return DataError(
            f"stream {quoted(stream.name)} is a column of {quoted(str(self._type))}; it must be "
            f"{lists} of {kind}"
        )


def _finite(values: np.ndarray) -> bool:
    """Whether all are; where their squares have a finite sum it takes no array more."""
    if values.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(values, values)) or np.isfinite(values).all())


def plain(array: pa.Array) -> pa.Array:
    """The array without an extension's type, and without a dictionary."""
    if isinstance(array, pa.ChunkedArray):
        # To combine copies, even where there is one.
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def is_list(kind: pa.DataType) -> bool:
    """Whether it is a type of lists, of whatever kind."""
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether it is a type of byte strings."""
    types = pa.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)


def _nulls(array: pa.Array) -> NDArray[np.bool_] | None:
    """Which rows are null; None where none is."""
    if not array.null_count:
        return None
    nulls: NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _bounds(array: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """Where each row's values begin and the last ones end (N + 1,), and the values of all rows."""
    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        return (array.offset + np.arange(len(array) + 1)) * kind.list_size, array.values
    if is_list(kind):
        return array.offsets.to_numpy().astype(np.int64), array.values
    buffers = array.buffers()
    if pa.types.is_fixed_size_binary(kind):
        bounds = (array.offset + np.arange(len(array) + 1)) * kind.byte_width
        data = buffers[1]
    else:
        width = np.dtype(np.int64 if pa.types.is_large_binary(kind) else np.int32)
        offsets, data = np.frombuffer(buffers[1], width), buffers[2]
        bounds = offsets[array.offset : array.offset + len(array) + 1].astype(np.int64)
    size = 0 if data is None else data.size
    return bounds, pa.Array.from_buffers(pa.uint8(), size, [None, data])


def _numbers(array: pa.Array) -> np.ndarray | None:
    """Its values, those that are null left open; None where they are no numbers."""
    kind = array.type
    if pa.types.is_boolean(kind):
        return np.asarray(array.fill_null(False).to_numpy(zero_copy_only=False))
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    data, end = array.buffers()[1], array.offset + len(array)
    if data is None:
        return np.zeros(0, kind.to_pandas_dtype())
    return np.frombuffer(data, kind.to_pandas_dtype(), end)[array.offset :]
