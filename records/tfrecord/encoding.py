"""Clips to serialized ``tf.Example`` and ``tf.SequenceExample``.

The bytes are laid out by hand: protobuf leaves the order of map entries open, and the same clip
must always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from records.clip import Clip, schema_features
from records.schema import Schema, Stream
from records.tfrecord import wire


def encode_clip(clip: Clip, schema: Schema, extra: Mapping[str, np.ndarray] | None = None) -> bytes:
    """Serializes one clip as its schema's level asks: the inverse of `parse_clip`.

    Args:
        clip: Features as the schema says, (T, D) or (D,).
        schema: Keys, streams and level. The id goes under the first of its id keys.
        extra: Further (n,) arrays for the context (floats become a float list, integers an int64
            list), such as soft targets for other programs.

    Raises:
        DataError: A stream is missing or has another size or type.
    """
    labels = np.asarray(clip.labels, np.int64)
    context = [_entry(schema.id_keys[0], _id_feature(clip.id))]
    context.append(_entry(schema.labels_key, _numbers(labels)))
    context += [_entry(name, _numbers(values)) for name, values in (extra or {}).items()]
    features = schema_features(clip, schema)
    if schema.level == "video":
        context += [_entry(s.name, _vector(features[s.name], s)) for s in schema.streams]
        return _field(wire.FIRST, b"".join(context))
    lists = [_entry(s.name, _frames(features[s.name], s)) for s in schema.streams]
    return _field(wire.FIRST, b"".join(context)) + _field(wire.SECOND, b"".join(lists))


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + wire.varint(len(content)) + content


def _entry(key: str, value: bytes) -> bytes:
    """One entry of a protobuf map."""
    return _field(wire.FIRST, _field(wire.FIRST, key.encode()) + _field(wire.SECOND, value))


def _id_feature(clip_id: str) -> bytes:
    return _field(wire.BYTES_LIST, _field(wire.FIRST, clip_id.encode()))


def _numbers(values: np.ndarray) -> bytes:
    """A ``Feature`` with an int64 or a float list."""
    if values.dtype.kind in "iu":
        packed = b"".join(wire.varint(int(value) & (1 << 64) - 1) for value in values)
        return _field(wire.INT64_LIST, _field(wire.FIRST, packed) if packed else b"")
    packed = values.astype("<f4").tobytes()
    return _field(wire.FLOAT_LIST, _field(wire.FIRST, packed) if packed else b"")


def _vector(values: np.ndarray, stream: Stream) -> bytes:
    return wire.vector_header(stream) + values.astype(values.dtype.newbyteorder("<")).tobytes()


def _frames(values: np.ndarray, stream: Stream) -> bytes:
    header = np.frombuffer(wire.frame_header(stream), np.uint8)
    rows = np.empty((len(values), len(header) + wire.value_bytes(stream)), np.uint8)
    rows[:, : len(header)] = header
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    rows[:, len(header) :] = little.view(np.uint8)
    return rows.tobytes()
