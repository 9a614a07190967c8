"""One serialized ``tf.Example`` or ``tf.SequenceExample`` to a checked clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tfrecord import example_pb2

from records.clip import Clip, check_values, known_labels
from records.errors import DataError
from records.schema import Schema, Stream
from records.tfrecord import wire


def parse_clip(data: NDArray[np.uint8], schema: Schema, with_features: bool = True) -> Clip:
    """Reads and checks one serialized example.

    Args:
        data: (length,) uint8: ``tf.SequenceExample`` (frame level) or ``tf.Example`` (video level).
        schema: What it must hold.
        with_features: False: the features may be left unread, and are not checked.

    Returns:
        Its features are read-only, strided and perhaps unaligned views of `data`.

    Raises:
        DataError: It is not such an example, lacks an id or a stream, has a stream of another size,
            streams of different lengths, a label out of range, or NaN or infinity in a feature.
    """
    try:
        fields = wire.walk(data, schema, with_features)
    except wire.NotCanonicalError:
        fields = parse_with_protobuf(data, schema)
    clip_id = _check_id(fields, schema)
    labels = known_labels(clip_id, fields.labels, schema)
    if with_features:
        check_values(clip_id, fields.features, schema)
    return Clip(clip_id, labels, fields.features)


def _check_id(fields: wire.Fields, schema: Schema) -> str:
    if not fields.id:
        keys = " or ".join(schema.id_keys)
        raise DataError(f"no id under {keys}; check the schema ({schema.name!r}) and its id_keys")
    try:
        return fields.id.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"the id {fields.id!r} is not UTF-8; rewrite the record") from None


def parse_with_protobuf(data: NDArray[np.uint8], schema: Schema) -> wire.Fields:
    """The general path: what `wire.walk` reads, for any legal layout.

    Raises:
        DataError: The bytes are not such an example, or a stream is missing or has another size.
    """
    at_frame_level = schema.level == "frame"
    message: Any = example_pb2.SequenceExample() if at_frame_level else example_pb2.Example()
    try:
        message.ParseFromString(data.tobytes())
    except DecodeError:
        raise DataError(
            f"not a tf.{type(message).__name__}; check that the schema ({schema.name!r}) fits"
        ) from None
    context = (message.context if at_frame_level else message.features).feature
    fields = wire.Fields(_id_of(context, schema), _labels_of(context, schema), {})
    lists = message.feature_lists.feature_list if at_frame_level else context
    for stream in schema.streams:
        if stream.name not in lists:
            found = ", ".join(sorted({*context, *lists})[:8])
            raise DataError(
                f"stream {stream.name!r} of schema {schema.name!r} is missing; the record has "
                f"{found or 'nothing'}"
            )
        if at_frame_level:
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
