"""What a column holds, told by its type and by the values of some rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from records.arrow.columns import is_bytes, is_list, plain
from records.clip import LONGEST_ID
from records.schema import Encoding

# A text or a whole number a row; lists of texts, or of whole numbers, of any length; a row of zeros
# and ones; a vector of numbers, or several of one size.
Kind = Literal["text", "number", "texts", "numbers", "multi_hot", "vector", "frames", "other"]
# How labels are called.
LABEL_NAMES = ("label", "labels", "tag", "tags", "class", "classes", "category", "target", "y")
# Lists of whole numbers that all have one length: from here on bytes of a vector, and not labels.
_LEAST_BYTES = 16


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        name: Its name.
        kind: What a row holds.
        type: The same in the words of the file.
        size: Of a vector, of each frame, or of a row of zeros and ones; 0 for the others.
        encoding: Of a vector's or a frame's values.
        distinct: Whether no two of the rows that were looked at have the same value.
    """

    name: str
    kind: Kind
    type: str
    size: int = 0
    encoding: Encoding = "float32"
    distinct: bool = False


def describe(name: str, values: pa.Array) -> Column:
    """What some rows of a column (n,) hold; `other` where it is nothing that a clip has."""
    said = str(values.type)
    values = plain(values).drop_null()
    if not len(values):
        return Column(name, "other", said)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return Column(name, "text", said, distinct=_are_distinct(values))
    if pa.types.is_integer(values.type):
        return Column(name, "number", said, distinct=_are_distinct(values))
    if is_bytes(values.type):
        return _bytes(name, said, values)
    if is_list(values.type):
        return _list(name, said, values)
    return Column(name, "other", said)


def _bytes(name: str, said: str, values: pa.Array) -> Column:
    """A byte string is a text, as TFRecords have it, or a vector of bytes."""
    if _are_texts(values):
        return Column(name, "text", said, distinct=_are_distinct(values))
    size = _one_size(pc.binary_length(values))
    return Column(name, "vector", said, size, "uint8") if size else Column(name, "other", said)


def _list(name: str, said: str, values: pa.Array) -> Column:
    inner = plain(pc.list_flatten(values))
    kind, size = inner.type, _one_size(pc.list_value_length(values))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Column(name, "texts", said)
    if is_bytes(kind):
        if _are_texts(inner):
            return Column(name, "texts", said)
        within = _one_size(pc.binary_length(inner))
        return Column(name, "frames" if within else "other", said, within, "uint8")
    if is_list(kind):
        within, numbers = _one_size(pc.list_value_length(inner)), pc.list_flatten(inner)
        encoding = _encoding(numbers)
        if not within or encoding is None:
            return Column(name, "other", said)
        return Column(name, "frames", said, within, encoding)
    if pa.types.is_null(kind) or not _is_number(kind):
        return Column(name, "other", said)
    if size > 1 and set(pc.unique(inner).to_pylist()) <= {0, 1}:
        return Column(name, "multi_hot", said, size)
    if pa.types.is_floating(kind):
        return Column(name, "vector" if size else "other", said, size)
    is_vector = size >= _LEAST_BYTES or (size and pa.types.is_uint8(kind))
    if is_vector and name.lower() not in LABEL_NAMES:
        encoding = _encoding(inner)
        return Column(name, "vector" if encoding else "other", said, size, encoding or "uint8")
    return Column(name, "numbers", said)


def _encoding(numbers: pa.Array) -> Encoding | None:
    """How the values of frames are stored; None where they are neither floats nor bytes."""
    if pa.types.is_floating(numbers.type):
        return "float32"
    if not pa.types.is_integer(numbers.type) or not len(numbers):
        return None
    bounds = pc.min_max(numbers).as_py()
    return "uint8" if 0 <= bounds["min"] <= bounds["max"] <= 255 else None


def _one_size(lengths: pa.Array) -> int:
    """The length that all have; 0 where they differ or there are none."""
    sizes = pc.unique(lengths).to_pylist()
    return int(sizes[0] or 0) if len(sizes) == 1 else 0


def _are_distinct(values: pa.Array) -> bool:
    return bool(pc.count_distinct(values).as_py() == len(values))


def _are_texts(values: pa.Array) -> bool:
    """Whether byte strings are printable UTF-8, as short as an id or a label is."""
    if not len(values) or pc.max(pc.binary_length(values)).as_py() > LONGEST_ID:
        return False
    try:
        return all(text.decode().isprintable() for text in values.to_pylist())
    except UnicodeDecodeError:
        return False


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def label_values(values: pa.Array) -> np.ndarray:
    """All labels of some rows: texts, whole numbers or, of rows of zeros and ones, these."""
    values = plain(values).drop_null()
    if is_list(values.type):
        values = plain(pc.list_flatten(values)).drop_null()
    if is_bytes(values.type):
        values = pc.cast(values, pa.string())
    return np.asarray(values.to_numpy(zero_copy_only=False))
