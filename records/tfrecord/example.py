"""One serialized ``tf.Example`` or ``tf.SequenceExample`` to a checked clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tfrecord import example_pb2

from records.errors import DataError
from records.schema import Schema, Stream
from records.tfrecord import wire


@dataclass(frozen=True)
class Clip:
    """One example.

    Attributes:
        id: The clip's id.
        labels: (n,) int64, ascending, each once; empty where the record has none.
        features: By stream: (T, D) at frame level, (D,) at video level; uint8 or float32. As
            `parse_clip` returns them they are read-only, strided and perhaps unaligned views of
            the record: copy what is to be kept.
    """

    id: str
    labels: NDArray[np.int64]
    features: dict[str, np.ndarray]


def parse_clip(data: NDArray[np.uint8], schema: Schema) -> Clip:
    """Reads and checks one serialized example.

    Args:
        data: (length,) uint8: ``tf.SequenceExample`` (frame level) or ``tf.Example`` (video level).
        schema: What it must hold.

    Raises:
        DataError: It is not such an example, lacks an id or a stream, has a stream of another size,
            streams of different lengths, a label out of range, or NaN or infinity in a feature.
    """
    try:
        fields = wire.walk(data, schema)
    except wire.NotCanonicalError:
        fields = parse_with_protobuf(data, schema)
    clip_id = _check_id(fields, schema)
    try:
        labels = _check_labels(fields.labels, schema)
        _check_features(fields.features, schema)
    except DataError as error:
        raise DataError(f"clip {clip_id!r}: {error}") from None
    return Clip(clip_id, labels, fields.features)


def parse_id_and_labels(data: NDArray[np.uint8], schema: Schema) -> tuple[str, NDArray[np.int64]]:
    """As `parse_clip`, without the features."""
    try:
        fields = wire.walk_id_and_labels(data, schema)
    except wire.NotCanonicalError:
        fields = parse_with_protobuf(data, schema)
    clip_id = _check_id(fields, schema)
    try:
        return clip_id, _check_labels(fields.labels, schema)
    except DataError as error:
        raise DataError(f"clip {clip_id!r}: {error}") from None


def _check_id(fields: wire.Fields, schema: Schema) -> str:
    if not fields.id:
        keys = " or ".join(schema.id_keys)
        raise DataError(f"no id under {keys}; check the schema ({schema.name!r}) and its id_keys")
    try:
        return fields.id.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"the id {fields.id!r} is not UTF-8; rewrite the record") from None


def _check_labels(labels: list[int], schema: Schema) -> NDArray[np.int64]:
    ordered = sorted(set(labels))
    if ordered and (ordered[0] < 0 or ordered[-1] >= schema.num_labels):
        wrong = ordered[0] if ordered[0] < 0 else ordered[-1]
        raise DataError(
            f"label {wrong} is out of range; schema {schema.name!r} has num_labels "
            f"{schema.num_labels}"
        )
    return np.array(ordered, np.int64)


def _check_features(features: dict[str, np.ndarray], schema: Schema) -> None:
    for stream in schema.streams:
        if stream.encoding == "float32" and not np.isfinite(features[stream.name]).all():
            raise DataError(f"stream {stream.name!r} holds NaN or infinity; remove the clip")
    if schema.level == "frame":
        counts = {name: len(frames) for name, frames in features.items()}
        if len(set(counts.values())) > 1:
            raise DataError(f"streams have different numbers of frames: {counts}; mend the clip")


def parse_with_protobuf(data: NDArray[np.uint8], schema: Schema) -> wire.Fields:
    """The general path: what `wire.walk` reads, for any legal layout.

    Raises:
        DataError: The bytes are not such an example, or a stream is missing or has another size.
    """
    message: Any = (
        example_pb2.SequenceExample() if schema.level == "frame" else example_pb2.Example()
    )
    try:
        message.ParseFromString(data.tobytes())
    except DecodeError:
        raise DataError(
            f"not a tf.{type(message).__name__}; check that the schema ({schema.name!r}) fits"
        ) from None
    context = (message.context if schema.level == "frame" else message.features).feature
    fields = wire.Fields(id=_id_of(context, schema), labels=_labels_of(context, schema))
    lists = message.feature_lists.feature_list if schema.level == "frame" else context
    for stream in schema.streams:
        if stream.name not in lists:
            found = ", ".join(sorted({*context, *lists})[:8])
            raise DataError(
                f"stream {stream.name!r} of schema {schema.name!r} is missing; the record has "
                f"{found or 'nothing'}"
            )
        if schema.level == "frame":
            frames = [_vector_of(feature, stream) for feature in lists[stream.name].feature]
            empty = np.empty((0, stream.size), stream.encoding)
            fields.features[stream.name] = np.stack(frames) if frames else empty
        else:
            fields.features[stream.name] = _vector_of(lists[stream.name], stream)
    return fields


def _id_of(context: Mapping[str, Any], schema: Schema) -> bytes | None:
    key = next((key for key in schema.id_keys if key in context), None)
    if key is None:
        return None
    values = context[key].bytes_list.value
    if len(values) != 1:
        raise DataError(f"the id under {key!r} is {len(values)} byte strings; it must be one")
    return bytes(values[0])


def _labels_of(context: Mapping[str, Any], schema: Schema) -> list[int]:
    if schema.labels_key not in context:
        return []
    feature = context[schema.labels_key]
    if feature.WhichOneof("kind") not in (None, "int64_list"):
        raise DataError(f"the labels under {schema.labels_key!r} are not an int64 list")
    return list(feature.int64_list.value)


def _vector_of(feature: Any, stream: Stream) -> np.ndarray:
    if stream.encoding == "float32":
        vector = np.array(feature.float_list.value, np.float32)
    else:
        values = feature.bytes_list.value
        vector = np.frombuffer(values[0] if len(values) == 1 else b"", np.uint8)
    if len(vector) != stream.size:
        kind = feature.WhichOneof("kind") or "nothing"
        raise DataError(
            f"stream {stream.name!r} should be {stream.size} x {stream.encoding} a vector; found "
            f"a {kind} of {len(vector)} values; check the schema"
        )
    return vector
