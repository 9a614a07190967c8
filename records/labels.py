"""Labels as a record writes them, by the schema's `label_encoding`, to their indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.problems import quoted
from records.errors import DataError
from records.schema import Schema

# As a record has them: integers, texts, or zeros and ones.
Written: TypeAlias = Sequence[Any] | np.ndarray


def label_indices(written: Written, schema: Schema) -> list[int]:
    """The indices of labels, in the order and as often as a record has them.

    Args:
        written: Integers; with `label_encoding` names texts, with multi_hot zeros and ones.
        schema: Says which.

    Raises:
        DataError: They are not of that kind, or an index or a name is no label's.
    """
    if schema.label_encoding == "multi_hot":
        return _ones(np.asarray(written), schema)
    values = written.tolist() if isinstance(written, np.ndarray) else written
    if schema.label_encoding == "names":
        return [_index_of(name, schema) for name in values]
    indices: list[int] = [value for value in values if isinstance(value, int)]
    if len(indices) < len(values):
        wrong = next(value for value in values if not isinstance(value, int))
        hint = "names in the schema, or " if isinstance(wrong, (str, bytes)) else "multi_hot, or "
        raise DataError(
            f"the label {quoted(wrong)} is no whole number; set label_encoding: {hint}write the "
            "labels' indices, such as [3, 17]"
        )
    if indices and not 0 <= min(indices) <= max(indices) < schema.num_labels:
        wrong = min(indices) if min(indices) < 0 else max(indices)
        raise DataError(
            f"label {wrong} is out of range; schema {quoted(schema.name)} has num_labels "
            f"{schema.num_labels}"
        )
    # So many indices, each once, would go up to the last label.
    if len(indices) == schema.num_labels > 2 and max(indices) <= 1:
        raise DataError(
            f"the labels are {len(indices)} numbers that are all 0 or 1: a multi-hot vector; set "
            "label_encoding: multi_hot in the schema"
        )
    return indices


def unknown_mask(
    indices: Sequence[int], labels: Sequence[int], schema: Schema
) -> NDArray[np.bool_]:
    """Which labels are unknown, (V,) bool.

    Args:
        indices: Of the labels that are.
        labels: Those that the clip has.
        schema: Of V labels.

    Raises:
        DataError: A label is both.
    """
    both = set(indices) & set(labels)
    if both:
        raise DataError(
            f"label {min(both)} is among the clip's labels and among the unknown ones "
            f"({quoted(schema.unknown_labels_key)}); it can be one of these"
        )
    mask = np.zeros(schema.num_labels, np.bool_)
    mask[list(indices)] = True
    return mask


def _index_of(name: object, schema: Schema) -> int:
    if isinstance(name, bytes):
        name = name.decode(errors="replace")
    if not isinstance(name, str):
        raise DataError(
            f"the label {quoted(name)} is no text, and label_encoding is names; set it to indices"
        )
    if not schema.label_names:
        raise DataError(
            f"the label {quoted(name)} is a name, and no label has one; name the vocabulary's file "
            "with data.vocabulary"
        )
    index = schema.index_of.get(name)
    if index is None:
        raise DataError(f"the label {quoted(name)} is not in the vocabulary; add it there")
    return index


def _ones(values: np.ndarray, schema: Schema) -> list[int]:
    # A record without labels has no vector either.
    if len(values) not in (0, schema.num_labels) or values.dtype.kind not in "biuf":
        raise DataError(
            f"the labels are {values.dtype} ({len(values)},); with label_encoding multi_hot there "
            f"must be {schema.num_labels} zeros and ones, one a label"
        )
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if wrong.size:
        raise DataError(
            f"the multi-hot vector has {values[wrong[0]]} for label {wrong[0]}; write 0 or 1"
        )
    ones: list[int] = np.flatnonzero(values).tolist()
    return ones
