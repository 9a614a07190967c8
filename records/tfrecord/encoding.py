"""Clips to serialized ``tf.Example`` and ``tf.SequenceExample``.

The bytes are laid out by hand: protobuf leaves the order of map entries open, and the same clip
must always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from records.clip import Clip, schema_features
from records.schema import Schema
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
    id_list = _field(wire.FIRST, clip.id.encode())
    context = [_entry(schema.id_keys[0], _field(wire.BYTES_LIST, id_list))]
    numbers = {schema.labels_key: np.asarray(clip.labels, np.int64), **(extra or {})}
    context += [_entry(name, _numbers(values)) for name, values in numbers.items()]
    features, lists = schema_features(clip, schema), []
    for stream in schema.streams:
        if schema.level == "video":
            vector = _behind(wire.vector_header(stream), features[stream.name][None])
            context.append(_entry(stream.name, vector))
        else:
            frames = _behind(wire.frame_header(stream), features[stream.name])
            lists.append(_entry(stream.name, frames))
    data = _field(wire.FIRST, b"".join(context))
    return data + _field(wire.SECOND, b"".join(lists)) if schema.level == "frame" else data


def _field(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + wire.varint(len(content)) + content


def _entry(key: str, value: bytes) -> bytes:
    """One entry of a protobuf map."""
    return _field(wire.FIRST, _field(wire.FIRST, key.encode()) + _field(wire.SECOND, value))


def _numbers(values: np.ndarray) -> bytes:
    """A ``Feature`` with an int64 or a float list."""
    if values.dtype.kind in "iu":
        tag = wire.INT64_LIST
        packed = b"".join(wire.varint(int(value) & (1 << 64) - 1) for value in values)
    else:
        tag = wire.FLOAT_LIST
        packed = values.astype("<f4").tobytes()
    return _field(tag, _field(wire.FIRST, packed) if packed else b"")


def _behind(header: bytes, vectors: np.ndarray) -> bytes:
    """The vectors (n, D), each behind the header."""
    little = np.ascontiguousarray(vectors, vectors.dtype.newbyteorder("<")).view(np.uint8)
    headers = np.tile(np.frombuffer(header, np.uint8), (len(vectors), 1))
    return np.concatenate([headers, little], axis=1).tobytes()
