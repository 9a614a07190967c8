"""TFRecord files of ``tf.Example`` and ``tf.SequenceExample``: clips from and to their records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tfrecord import example_pb2

from common.problems import quoted
from records.clip import LONGEST_ID, Clip, check_id, clip_of, schema_features
from records.decompressed import GZIP, decompressed, gunzip
from records.errors import DataError, listed
from records.foreign import kind_of
from records.formats import Listing, ShardFile, register_format
from records.schema import Schema, Stream
from records.tfrecord import wire
from records.tfrecord.framing import open_file, read_record, scan
from records.tfrecord.segments import Segment, segment_clip, segments_of

# A position has the number of a segment in its lowest bits.
_SEGMENTS = 1 << 16


_SUFFIXES = (".tfrecord", ".tfrecords", ".tfrec")


@register_format("tfrecord", suffixes=(*_SUFFIXES, *(f"{suffix}.gz" for suffix in _SUFFIXES)))
class TFRecordFile(ShardFile):
    """A file of ``tf.SequenceExample`` (frame level) or ``tf.Example`` (video level).

    A position is the byte at which a record's header starts, a length that of its data. Where
    segments are read a position is that byte times 2^16, and the number of the segment. A file that
    begins as gzip does is one, whatever its suffix; its bytes are counted decompressed.
    """

    unit = "byte"

    def __init__(self, path: Path, schema: Schema, cache: Path | None = None) -> None:
        super().__init__(path, schema)
        self._file: IO[bytes] = open_file(path)
        self._compressed = os.pread(self._file.fileno(), len(GZIP), 0) == GZIP
        if self._compressed:
            self._file.close()
            self._file = decompressed(path, cache, gunzip)

    @classmethod
    def open(cls, path: Path, schema: Schema, cache: Path | None) -> TFRecordFile:
        return cls(path, schema, cache)

    def list_records(self) -> Listing:
        listing = scan(self.path, self._file.fileno())
        if listing.fault and not len(listing.positions):
            kind = kind_of(os.pread(self._file.fileno(), 8, 0))
            if kind:
                raise DataError(f"{self.path}: is {kind}, and no TFRecord; give it its own suffix")
        return self._with_segments(listing) if self.schema.segments else listing

    def clip(self, position: int, length: int, with_features: bool = True) -> Clip:
        offset, number = divmod(position, _SEGMENTS) if self.schema.segments else (position, 0)
        record = read_record(self._file.fileno(), offset, length)
        if not self.schema.segments:
            return parse_clip(record, self.schema, with_features)
        segments = self._segments(record)
        if number >= len(segments):
            raise DataError("the shard changed after it was indexed; start again")
        video = parse_clip(record, _without_labels(self.schema), with_features)
        return segment_clip(video, segments[number], self.schema, with_features)

    read = clip

    def place(self, position: int) -> str:
        offset, number = divmod(position, _SEGMENTS) if self.schema.segments else (position, None)
        decompressed = ", decompressed" if self._compressed else ""
        segment = "" if number is None else f", segment {number}"
        return f"byte {offset}{decompressed}{segment}"

    def _segments(self, record: NDArray[np.uint8]) -> list[Segment]:
        return segments_of(_context(record, self.schema))

    def _with_segments(self, found: Listing) -> Listing:
        """A listing of segments. A record that is damaged has one, so that it is told of later."""
        counts = []
        for place in zip(found.positions.tolist(), found.lengths.tolist(), strict=True):
            try:
                count = len(self._segments(read_record(self._file.fileno(), *place)))
                counts.append(min(count, _SEGMENTS))
            except DataError:
                counts.append(1)
        numbers = np.concatenate([np.arange(count, dtype=np.uint64) for count in (0, *counts)])
        positions = np.repeat(found.positions * np.uint64(_SEGMENTS), counts) + numbers
        lengths, checksums = np.repeat(found.lengths, counts), np.repeat(found.checksums, counts)
        return Listing(positions, lengths, checksums, found.fault)

    def keys(self, position: int, length: int) -> list[str]:
        """The keys of the record, with the kinds of their values."""
        offset = position // _SEGMENTS if self.schema.segments else position
        message = _message(read_record(self._file.fileno(), offset, length), self.schema)
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
    features = fields.features if with_features else {}
    return clip_of(clip_id, fields.labels, features, schema, fields.unknown)


def parse_with_protobuf(data: NDArray[np.uint8], schema: Schema) -> wire.Fields:
    """The general path: what `wire.walk` reads, for any legal layout.

    Raises:
        DataError: The bytes are not such an example, or a stream is missing or has another size.
    """
    at_frame_level = schema.level == "frame"
    context, lists = _parts(_message(data, schema))
    labels, unknown = (_labels_of(context, key, schema) for key in wire.label_keys(schema))
    fields = wire.Fields(_id_of(context, schema), labels, {}, unknown)
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


def _context(data: NDArray[np.uint8], schema: Schema) -> Mapping[str, Any]:
    """The features of one serialized example that stand once; its frames are left unread."""
    try:
        features = example_pb2.Features()
        features.ParseFromString(wire.context(data).tobytes())
        fields: Mapping[str, Any] = features.feature
        return fields
    except (wire.NotCanonicalError, DecodeError):
        return _parts(_message(data, schema))[0]


@lru_cache(maxsize=8)
def _without_labels(schema: Schema) -> Schema:
    """The schema of the whole videos that segments are of."""
    return replace(schema, labels_key="", segments=False)


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


def _labels_of(context: Mapping[str, Any], key: str, schema: Schema) -> list[Any]:
    if not key or key not in context:
        return []
    feature, kinds = context[key], wire.LABEL_KINDS[schema.label_encoding]
    kind = feature.WhichOneof("kind")
    if kind is not None and kind not in kinds:
        hint = "names in the schema if they are names" if kind == "bytes_list" else "as they are"
        raise DataError(
            f"the labels under {quoted(key)} are not an {kinds[0].replace('_', ' ')} but a {kind}; "
            f"write them as the indices of the clip's labels, or set label_encoding: {hint}"
        )
    return list(getattr(feature, kind).value) if kind else []


def _vector_of(feature: Any, stream: Stream) -> np.ndarray:
    texts = feature.bytes_list.value
    if stream.encoding == "uint8" or texts:
        # Floats may be one byte string too, their bytes little-endian.
        text = texts[0] if len(texts) == 1 else b""
        stored = np.dtype("<f4" if stream.encoding == "float32" else "u1")
        vector = np.frombuffer(text if len(text) % stored.itemsize == 0 else b"", stored)
    else:
        vector = np.array(feature.float_list.value, np.float32)
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
