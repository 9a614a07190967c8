"""Rows of Arrow's tables as clips: which columns hold what a schema describes, and each row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.problems import quoted
from records.arrow.columns import Lists, Vectors, plain
from records.clip import LONGEST_ID, Clip, check_id, clip_of
from records.errors import DataError, listed
from records.schema import Schema


def wanted_columns(names: list[str], schema: Schema, with_features: bool = True) -> list[str]:
    """Which of a table's columns hold what the schema describes; the first is the id's.

    Raises:
        DataError: There is no id, or a stream is missing.
    """
    id_key = next((key for key in schema.id_keys if key in names), None)
    if id_key is None:
        raise DataError(
            f"no column {' or '.join(schema.id_keys)}; there are {listed(names)}; set id_keys in "
            "the schema to the column of the ids"
        )
    found = [id_key]
    if schema.labels_key:
        found += [key for key in (schema.labels_key, schema.unknown_labels_key) if key in names]
    for stream in schema.streams if with_features else ():
        if stream.name not in names:
            raise DataError(
                f"stream {quoted(stream.name)} of schema {quoted(schema.name)} is missing; there "
                f"are {listed(names)}"
            )
        found.append(stream.name)
    return list(dict.fromkeys(found))


class Rows:
    """Some rows of a table.

    Args:
        columns: By name those of `wanted_columns`, of one length.
        schema: What they hold.

    Raises:
        DataError: A column is of a type that cannot hold it.
    """

    def __init__(self, columns: Mapping[str, pa.Array], schema: Schema) -> None:
        self._schema = schema
        # One by one they would take longer than all the rest.
        ids = plain(columns[wanted_columns(list(columns), schema, False)[0]])
        self._ids: list[object] = ids.to_pylist()
        self._are_plain = _are_plain(ids)
        self._streams = {
            stream.name: Vectors(columns[stream.name], stream, schema.level)
            for stream in schema.streams
            if stream.name in columns
        }
        self._finite = all(vectors.finite for vectors in self._streams.values())
        keys = (schema.labels_key, schema.unknown_labels_key)
        self._labels, self._unknown = (
            Lists(columns[key], schema.label_encoding == "multi_hot")
            if key and key in columns
            else None
            for key in keys
        )
        if not schema.labels_key:
            self._unknown = None
        # None where they have to be looked at one by one.
        self._indices: NDArray[np.int64] | None = None
        if self._labels and schema.label_encoding == "indices" and not schema.has_unknown_labels:
            self._indices = self._labels.indices(schema.num_labels)

    def clip(self, row: int, with_features: bool = True) -> Clip:
        """The clip of a row, checked; its features are views where they can be.

        Raises:
            DataError: It is not as the schema has it.
        """
        clip_id = self._id(row)
        streams = self._streams if with_features else {}
        try:
            features = {name: vectors.row(row) for name, vectors in streams.items()}
            if self._indices is not None and self._labels is not None:
                indices = self._labels.cut(self._indices, row)
                return clip_of(clip_id, indices, features, self._schema, (), self._finite, True)
            labels = () if self._labels is None else self._labels.row(row)
            unknown = () if self._unknown is None else self._unknown.row(row)
        except DataError as error:
            raise DataError(f"clip {quoted(clip_id)}: {error}") from None
        return clip_of(clip_id, labels, features, self._schema, unknown, self._finite)

    def _id(self, row: int) -> str:
        value = self._ids[row]
        if isinstance(value, str):
            if self._are_plain:
                return value
            check_id(value)
            return value
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                raise DataError(f"the id {quoted(value)} is not UTF-8; rewrite it") from None
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise DataError(f"the id is {quoted(value)}; it must be a text or a whole number")
        check_id(value)
        return value


def _are_plain(ids: pa.Array) -> bool:
    """Whether all are texts of printable ASCII, neither empty nor too long: nothing to check."""
    if not (pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)) or ids.null_count:
        return False
    text, sizes = "".join(ids.to_pylist()), pc.min_max(pc.binary_length(ids)).as_py()
    return (
        text.isascii()
        and text.isprintable()
        and bool(text)
        and 0 < sizes["min"] <= sizes["max"] <= LONGEST_ID
    )
