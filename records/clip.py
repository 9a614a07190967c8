"""One clip, as every format of data hands it out, and what it is held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from records.errors import DataError
from records.schema import Schema


@dataclass(frozen=True)
class Clip:
    """One example.

    Attributes:
        id: The clip's id.
        labels: (n,) int64, ascending, each once; empty where the record has none.
        features: By stream: (T, D) at frame level, (D,) at video level; uint8 or float32. They may
            be read-only, strided and unaligned views of the record: copy what is to be kept.
    """

    id: str
    labels: NDArray[np.int64]
    features: dict[str, np.ndarray]


def check_clip(clip: Clip, schema: Schema) -> Clip:
    """A clip as a schema has it; what a format reads is not believed.

    Returns:
        Its labels are ascending, each once, and its features those of the schema only.

    Raises:
        DataError: It has no id, a stream is missing or has another size, type or number of frames,
            a label is out of range, or a feature holds NaN or infinity.
    """
    if not isinstance(clip.id, str) or not clip.id:
        raise DataError(f"the id is {clip.id!r}; it must be a text that is not empty")
    labels, features = np.asarray(clip.labels), schema_features(clip, schema)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        found = f"{labels.dtype} {labels.shape}"
        raise DataError(f"clip {clip.id!r}: the labels are {found}, not a row of integers")
    return clip_of(clip.id, labels.tolist(), features, schema)


def schema_features(clip: Clip, schema: Schema) -> dict[str, np.ndarray]:
    """The clip's features of the schema's streams.

    Raises:
        DataError: One is missing or has another shape or type.
    """
    out = {}
    first = clip.features.get(schema.streams[0].name)
    length = (0,) if first is None else first.shape[:1]
    for stream in schema.streams:
        shape = (*length, stream.size) if schema.level == "frame" else (stream.size,)
        values = clip.features.get(stream.name)
        if values is None or values.shape != shape or values.dtype != stream.encoding:
            found = "nothing" if values is None else f"{values.dtype} {values.shape}"
            raise DataError(
                f"clip {clip.id!r}: stream {stream.name!r} should be {stream.encoding} {shape}; "
                f"found {found}"
            )
        out[stream.name] = values
    return out


def clip_of(
    clip_id: str, labels: Iterable[int], features: dict[str, np.ndarray], schema: Schema
) -> Clip:
    """The clip of labels in any order, and of features whose sizes and types are the schema's.

    Raises:
        DataError: A label is out of range, a value is not finite, or streams have different numbers
            of frames.
    """
    ordered = sorted(set(labels))
    if ordered and (ordered[0] < 0 or ordered[-1] >= schema.num_labels):
        wrong = ordered[0] if ordered[0] < 0 else ordered[-1]
        raise DataError(
            f"clip {clip_id!r}: label {wrong} is out of range; schema {schema.name!r} has "
            f"num_labels {schema.num_labels}"
        )
    for name, values in features.items():
        if values.dtype == np.float32 and not np.isfinite(values).all():
            raise DataError(
                f"clip {clip_id!r}: stream {name!r} holds NaN or infinity; remove the clip"
            )
    if schema.level == "frame":
        counts = {name: len(frames) for name, frames in features.items()}
        if len(set(counts.values())) > 1:
            raise DataError(
                f"clip {clip_id!r}: streams have different numbers of frames: {counts}; mend it"
            )
    return Clip(clip_id, np.array(ordered, np.int64), features)
