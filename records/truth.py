"""Ids and labels of a split, without its features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from records.splits import Split


@dataclass(frozen=True, eq=False)
class Truth:
    """Ids and labels of a split's records, in its order.

    Attributes:
        ids: (N,) strings.
        offsets: (N + 1,) int64; record i has the labels ``columns[offsets[i]:offsets[i + 1]]``.
        columns: (n,) int64, ascending within a record.
    """

    ids: NDArray[np.str_]
    offsets: NDArray[np.int64]
    columns: NDArray[np.int64]


def read_truth(split: Split) -> Truth:
    """Ids and labels of a split, in one pass over its records.

    Raises:
        DataError: A record is damaged or does not fit the schema; names shard and place.
    """
    ids: list[str] = []
    labels: list[NDArray[np.int64]] = []
    with split.reader() as reader:
        for place in split.places():
            clip_id, columns = reader.id_and_labels(*place)
            ids.append(clip_id)
            labels.append(columns)
    offsets = np.zeros(len(ids) + 1, np.int64)
    np.cumsum([len(columns) for columns in labels], out=offsets[1:])
    return Truth(np.array(ids), offsets, np.concatenate(labels))
