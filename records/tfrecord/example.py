"""TFRecord files of ``tf.Example`` and ``tf.SequenceExample``: clips from and to their records."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tfrecord import example_pb2

from common.problems import quoted
from records.clip import LONGEST_ID, Clip, check_id, clip_of, schema_features
from records.errors import DataError, listed
from records.formats import Listing, ShardFile, register_format
from records.schema import Schema, Stream
from records.tfrecord import wire
from records.tfrecord.framing import open_file, read_record, scan


@register_format("tfrecord", suffixes=(".tfrecord", ".tfrecords", ".tfrec"))
class TFRecordFile(ShardFile):
    """A file of ``tf.SequenceExample`` (frame level) or ``tf.Example`` (video level).

    A position is the byte at which a record's header starts, a length that of its data.
    """

    unit = "byte"

    def __init__(self, path: Path, schema: Schema) -> None:
        super().__init__(path, schema)
        self._file = open_file(path)

    def list_records(self) -> Listing:
        return scan(self.path)

    def clip(self, position: int, length: int, with_features: bool = True) -> Clip:
        record = read_record(self._file.fileno(), position, length)
        return parse_clip(record, self.schema, with_features)

    read = clip

    def keys(self, position: int, length: int) -> list[str]:
        """The keys of the record, with the kinds of their values."""
        message = _message(read_record(self._file.fileno(), position, length), self.schema)
        context, lists = _parts(message)
        kinds = {key: value.WhichOneof("kind") or "empty" for key, value in context.items()}
        for key in lists:
            kinds.setdefault(key, "frames")
        return [f"{key} ({kinds[key].removesuffix('_list')})" for key in sorted(kinds)]

    def close(self) -> None:
        self._file.close()


def parse_clip(data: NDArray[np.uint8], schema: Schema, with_features: bool = True) -> Clip:
    """Reads and checks one serialized example.

    Args:
        data: (length,) uint8: ``tf.SequenceExample`` (frame level) or ``tf.Example`` (video level).
        schema: What it must hold.
        with_features: False: the features may be left unread.

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
    if not fields.id:
        keys = listed([" or ".join(schema.id_keys)])
        raise DataError(
            f"no id under {keys}; check the schema ({quoted(schema.name)}) and its id_keys"
        )
    try:
        clip_id = fields.id.decode("utf-8")
    except UnicodeDecodeError:
        start = fields.id[:LONGEST_ID]
        raise DataError(f"the id {quoted(start)} is not UTF-8; rewrite the record") from None
    check_id(clip_id)
    return clip_of(clip_id, fields.labels, fields.features if with_features else {}, schema)


def parse_with_protobuf(data: NDArray[np.uint8], schema: Schema) -> wire.Fields:
    """The general path: what `wire.walk` reads, for any legal layout.

    Raises:
        DataError: The bytes are not such an example, or a stream is missing or has another size.
    """
    at_frame_level = schema.level == "frame"
    context, lists = _parts(_message(data, schema))
    fields = wire.Fields(_id_of(context, schema), _labels_of(context, schema), {})
    for stream in schema.streams:
        if stream.name not in lists:
            raise DataError(
                f"stream {quoted(stream.name)} of schema {quoted(schema.name)} is missing; the "
                f"record has {listed(sorted({*context, *lists})) or 'nothing'}"
            )
        given = lists[stream.name].feature if at_frame_level else [lists[stream.name]]
        vectors = np.array([_vector_of(feature, stream) for feature in given], stream.encoding)
        vectors = vectors.reshape(-1, stream.size)
        fields.features[stream.name] = vectors if at_frame_level else vectors[0]
    return fields


def _message(data: NDArray[np.uint8], schema: Schema) -> Any:
    """The protobuf message of one serialized example."""
    message = example_pb2.SequenceExample() if schema.level == "frame" else example_pb2.Example()
    try:
        message.ParseFromString(data.tobytes())
    except DecodeError:
        kind = type(message).__name__
        raise DataError(
            f"not a tf.{kind}; check that the schema ({quoted(schema.name)}) fits"
        ) from None
    return message


def _parts(message: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The features of a message that stand once, and those that the streams lie in."""
    if isinstance(message, example_pb2.SequenceExample):
        return message.context.feature, message.feature_lists.feature_list
    return message.features.feature, message.features.feature


def _id_of(context: Mapping[str, Any], schema: Schema) -> bytes | None:
    key = next((key for key in schema.id_keys if key in context), None)
    if key is None:
        return None
    values = context[key].bytes_list.value
    if len(values) != 1:
        raise DataError(f"the id under {quoted(key)} is {len(values)} byte strings; it must be one")
    return bytes(values[0])


def _labels_of(context: Mapping[str, Any], schema: Schema) -> list[int]:
    if not schema.labels_key or schema.labels_key not in context:
        return []
    feature = context[schema.labels_key]
    kind = feature.WhichOneof("kind")
    if kind not in (None, "int64_list"):
        raise DataError(
            f"the labels under {quoted(schema.labels_key)} are not an int64 list but a {kind}; "
            "write them as the indices of the clip's labels"
        )
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
            f"stream {quoted(stream.name)} should be {stream.size} x {stream.encoding} a vector; "
            f"found a {kind} of {len(vector)} values; check the schema"
        )
    return vector


def encode_clip(clip: Clip, schema: Schema, extra: Mapping[str, np.ndarray] | None = None) -> bytes:
    """Serializes one clip as its schema's level asks: the inverse of `parse_clip`.

    The bytes are laid out by hand: protobuf leaves the order of map entries open, and the same clip
    must always give the same bytes.

    Args:
        clip: Features as the schema says, (T, D) or (D,).
        schema: The id goes under the first of its id keys.
        extra: Further (n,) arrays for the context (floats become a float list, integers an int64
            list), such as soft targets for other programs.

    Raises:
        DataError: A stream is missing or has another size or type.
    """
    id_list = _field(wire.FIRST, clip.id.encode())
    context = [_entry(schema.id_keys[0], _field(wire.BYTES_LIST, id_list))]
    labels = {schema.labels_key: np.asarray(clip.labels, np.int64)} if schema.labels_key else {}
    numbers = {**labels, **(extra or {})}
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
