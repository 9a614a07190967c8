"""All labels of a data set that nothing is known of: how many there are, and their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from common.codec import parse_json
from common.problems import quoted
from records.errors import DataError
from records.recognition.columns import Column, label_values
from records.recognition.sources import Source
from records.schema import LabelEncoding

_ENCODINGS: dict[str, LabelEncoding] = {
    "texts": "names",
    "text": "names",
    "numbers": "indices",
    "number": "indices",
    "multi_hot": "multi_hot",
}
# Greater numbers are no indices, but something else.
_MOST_LABELS = 1_000_000


@dataclass(frozen=True)
class LabelsFound:
    """What labels there are.

    Attributes:
        encoding: How they are written; see `Schema.label_encoding`.
        count: V.
        names: In the order of their indices, where they are written by name, or the file has them.
        total: How often any is there, in all clips.
    """

    encoding: LabelEncoding
    count: int
    names: tuple[str, ...]
    total: int


def find_labels(
    source: Source, files: Iterable[Path], column: Column, names: tuple[str, ...] = ()
) -> LabelsFound:
    """Reads a column of labels whole.

    Args:
        source: Of the files' format.
        files: Those whose labels count.
        column: That of the labels.
        names: What the files say that labels by index are called.

    Raises:
        DataError: There is no label, or a number is no index, or a name is empty.
    """
    place, encoding = f"labels {quoted(column.name)}", _ENCODINGS[column.kind]
    found: set[str] | set[int] = set()
    total = 0
    for path in files:
        for values in source.column(path, column.name):
            labels = label_values(values)
            total += int(labels.sum() if encoding == "multi_hot" else len(labels))
            found |= set(np.unique(labels).tolist())
    if not total:
        raise DataError(f"{place}: no clip has any; columns.labels names another column")
    if encoding == "multi_hot":
        return LabelsFound(encoding, column.size, (), total)
    if encoding == "indices":
        least, most = min(found), max(found)
        if not 0 <= int(least) <= int(most) < _MOST_LABELS:
            raise DataError(
                f"{place}: numbers from {least} to {most} are no indices; they must lie within 0 "
                f"and {_MOST_LABELS - 1}; columns.labels names another column"
            )
        if int(most) < len(names):
            return LabelsFound(encoding, len(names), names, total)
        return LabelsFound(encoding, int(most) + 1, (), total)
    texts = tuple(sorted(map(str, found)))
    if not texts[0]:
        raise DataError(f"{place}: a label is an empty text; leave it out")
    return LabelsFound(encoding, len(texts), texts, total)


def class_names(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """What Hugging Face's `datasets` writes into a file that labels by index are called."""
    try:
        about = parse_json((schema.metadata or {})[b"huggingface"], "", DataError)
        feature = about["info"]["features"][column]
        while "names" not in feature:
            # Of a list it is said what is in it.
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        names = feature["names"]
    except (KeyError, TypeError, IndexError, DataError):
        return ()
    sound = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    return tuple(names) if sound else ()


def has_labels(source: Source, files: Iterable[Path], column: Column) -> bool:
    """Whether a clip of these files has a label."""
    return any(
        label_values(values).any() if column.kind == "multi_hot" else len(label_values(values))
        for path in files
        for values in source.column(path, column.name)
    )
