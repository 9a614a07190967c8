"""The fast path: the protobuf wire format of examples, walked by hand.

All vectors of one stream have the same size, so the frames of a list lie at a constant stride
behind identical headers: one comparison of all headers at once verifies them, and the frames are
handed out as a strided view. Only the layout that the usual writers produce is read here. For any
other legal one (fields in another order, repeated, or with longer varints) `NotCanonicalError`
sends the caller to protobuf.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from records.schema import Schema, Stream

# Tags of length-delimited fields number 1 and 2, and of the fields of a Feature message.
FIRST, SECOND = 0x0A, 0x12
BYTES_LIST, FLOAT_LIST, INT64_LIST = 0x0A, 0x12, 0x1A

# Of the bytes of a varint. Longer ones protobuf refuses: ten for a value, five for a length.
_OF_VALUE, _OF_LENGTH = range(0, 70, 7), range(0, 35, 7)

# A feature that is one number, as AudioSet has two in each record, opens with this.
_ONE_FLOAT = bytes([FLOAT_LIST, 6, FIRST, 4])

# The lists that labels may be written as, by their encoding.
LABEL_KINDS = {
    "indices": ("int64_list",),
    "names": ("bytes_list",),
    "multi_hot": ("int64_list", "float_list"),
}

# YouTube-8M's video-level records are written as SequenceExamples with an empty second field.
_NO_FRAMES = bytes([SECOND, 0])

Span = tuple[int, int]


class NotCanonicalError(Exception):
    """The record is not laid out the way that this module knows."""


class Fields(NamedTuple):
    """What an example holds, not yet checked against the schema.

    Attributes:
        id: The clip's id, None where there is none.
        labels: As stored.
        features: By stream: (T, D) at frame level, (D,) at video level.
        unknown: The labels that are unknown, as stored.
    """

    id: bytes | None
    labels: list[Any]
    features: dict[str, np.ndarray]
    unknown: list[Any]


def walk(data: NDArray[np.uint8], schema: Schema, with_features: bool = True) -> Fields:
    """Reads id, labels and, if they are wanted, streams of one serialized example.

    Args:
        data: (length,) uint8, contiguous; the features are read-only views of it.
        schema: The streams, with their sizes, and the keys.
        with_features: False leaves the streams out.

    Raises:
        NotCanonicalError: The layout is another one, or something is missing.
    """
    buffer = data.data
    context_span, lists_span = _parts(buffer, schema)
    entries = _entries(buffer, *context_span)
    own_id = _id(buffer, entries, schema)
    labels, unknown = (_labels(buffer, entries, key, schema) for key in label_keys(schema))
    fields = Fields(own_id, labels, {}, unknown)
    if not with_features:
        return fields
    read = _vector
    if schema.level == "frame":
        _check_features(buffer, entries)
        read, entries = _frames, _entries(buffer, *lists_span)
    for stream in schema.streams:
        span = entries.pop(stream.name.encode(), None)
        if span is None:
            raise NotCanonicalError
        values = read(data, span, stream)
        fields.features[stream.name] = values if stream.encoding == "uint8" else values.view("<f4")
    if schema.level == "frame":
        _check_lists(data, entries)
    else:
        _check_features(buffer, entries)
    return fields


def context(data: NDArray[np.uint8]) -> memoryview:
    """The bytes of a serialized example's context, or at video level of all its features.

    Raises:
        NotCanonicalError: The layout is another one.
    """
    start, end = _message(data.data, 0, len(data), FIRST)
    return data.data[start:end]


def _parts(buffer: memoryview, schema: Schema) -> tuple[Span, Span]:
    """Where the context (at video level: all features) and the frame lists lie."""
    context = _message(buffer, 0, len(buffer), FIRST)
    end = context[1]
    if schema.level == "frame":
        return context, _message(buffer, end, len(buffer), SECOND, True)
    if end != len(buffer) and buffer[end:].tobytes() != _NO_FRAMES:
        raise NotCanonicalError
    return context, (end, end)


def varint(value: int) -> bytes:
    """A non-negative integer as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@lru_cache(maxsize=64)
def vector_header(stream: Stream) -> bytes:
    """The bytes of a ``Feature`` message in front of a vector's values."""
    count = value_bytes(stream)
    inner = bytes([FIRST]) + varint(count)
    kind = FLOAT_LIST if stream.encoding == "float32" else BYTES_LIST
    return bytes([kind]) + varint(len(inner) + count) + inner


@lru_cache(maxsize=64)
def frame_header(stream: Stream) -> bytes:
    """The bytes of a ``FeatureList`` message in front of one frame's values."""
    header = vector_header(stream)
    return bytes([FIRST]) + varint(len(header) + value_bytes(stream)) + header


def value_bytes(stream: Stream) -> int:
    """Bytes of one vector's values."""
    return stream.size * (4 if stream.encoding == "float32" else 1)


def _read_varint(buffer: memoryview, at: int, end: int, shifts: range) -> tuple[int, int]:
    """The varint at `at`, of at most as many bytes as `shifts`, and the position behind it."""
    value = 0
    for shift in shifts:
        if at >= end:
            break
        byte = buffer[at]
        at += 1
        if byte < 0x80:
            value |= byte << shift
            if value >= 1 << 64:
                break
            return value, at
        value |= (byte & 0x7F) << shift
    raise NotCanonicalError


def _message(buffer: memoryview, at: int, end: int, tag: int, whole: bool = False) -> Span:
    """Start and end of the content of the length-delimited field at `at`, which must have `tag`.

    If it is the whole, it must reach up to `end`.
    """
    if at + 1 >= end or buffer[at] != tag:
        raise NotCanonicalError
    start = at + 2
    length = buffer[at + 1]
    if length > 0x7F:
        length, start = _read_varint(buffer, at + 1, end, _OF_LENGTH)
    stop = start + length
    if stop > end or (whole and stop != end):
        raise NotCanonicalError
    return start, stop


def _entries(buffer: memoryview, at: int, end: int) -> dict[bytes, Span]:
    """Where the values of a protobuf map lie, by key; each key once."""
    entries: dict[bytes, Span] = {}
    while at < end:
        start, at = _message(buffer, at, end, FIRST)
        key_start, key_end = _message(buffer, start, at, FIRST)
        key = buffer[key_start:key_end].tobytes()
        if key in entries:
            raise NotCanonicalError
        entries[key] = _message(buffer, key_end, at, SECOND, True)
    return entries


def _id(buffer: memoryview, context: dict[bytes, Span], schema: Schema) -> bytes | None:
    for key in schema.id_keys:
        span = context.pop(key.encode(), None)
        if span is not None:
            start, end = _message(buffer, *_message(buffer, *span, BYTES_LIST, True), FIRST, True)
            return buffer[start:end].tobytes()
    return None


def label_keys(schema: Schema) -> tuple[str, str]:
    """The keys of the labels and of the unknown ones; empty where they are not read."""
    return schema.labels_key, schema.unknown_labels_key if schema.labels_key else ""


def _labels(
    buffer: memoryview, context: dict[bytes, Span], key: str, schema: Schema
) -> list[int] | list[bytes]:
    span = context.pop(key.encode(), None) if key else None
    if span is None:
        return []
    if schema.label_encoding == "names":
        return _texts(buffer, *_message(buffer, *span, BYTES_LIST, True))
    return _integers(buffer, *_message(buffer, *span, INT64_LIST, True))


def _texts(buffer: memoryview, at: int, end: int) -> list[bytes]:
    """The values of a list of byte strings."""
    values = []
    while at < end:
        start, at = _message(buffer, at, end, FIRST)
        values.append(buffer[start:at].tobytes())
    return values


def _integers(buffer: memoryview, at: int, end: int) -> list[int]:
    """The values of an integer list, in the packed encoding."""
    values: list[int] = []
    if at < end:
        at, end = _message(buffer, at, end, FIRST, True)
    while at < end:
        value = buffer[at]
        if value < 0x80:
            at += 1
        else:
            value, at = _read_varint(buffer, at, end, _OF_VALUE)
        values.append(value if value < 1 << 63 else value - (1 << 64))
    return values


def _check_features(buffer: memoryview, others: dict[bytes, Span]) -> None:
    """Makes sure that what nobody asked for is sound too: protobuf refuses the whole otherwise."""
    for key, (start, end) in others.items():
        _check_key(key)
        if buffer[start : start + 4].tobytes() == _ONE_FLOAT and end - start == 8:
            continue
        if start < end:
            if buffer[start] == INT64_LIST:
                _integers(buffer, *_message(buffer, start, end, INT64_LIST, True))
            else:
                _value(buffer, start, end)


def _check_lists(data: NDArray[np.uint8], others: dict[bytes, Span]) -> None:
    """As `_check_features`, of the lists of frames that are no streams."""
    for key, (start, end) in others.items():
        _check_key(key)
        if start < end:
            first = _message(data.data, start, end, FIRST)
            at, stop = _value(data.data, *first)
            _rows(data, (start, end), data[start:at].tobytes(), stop - start)


def _check_key(key: bytes) -> None:
    if not key.isascii():
        try:
            key.decode()
        except UnicodeDecodeError:
            raise NotCanonicalError from None


def _value(buffer: memoryview, start: int, end: int) -> Span:
    """Where the value of a feature lies that is one byte string, or floats in the packed encoding.

    As in a vector, nothing follows it.
    """
    kind = BYTES_LIST if start < end and buffer[start] == BYTES_LIST else FLOAT_LIST
    at, stop = _message(buffer, *_message(buffer, start, end, kind, True), FIRST, True)
    if kind == FLOAT_LIST and (stop - at) % 4:
        raise NotCanonicalError
    return at, stop


def _frames(data: NDArray[np.uint8], span: Span, stream: Stream) -> NDArray[np.uint8]:
    """The bytes (T, n) of a frame list's frames, all of whose headers are as expected."""
    header = frame_header(stream)
    return _rows(data, span, header, len(header) + value_bytes(stream))


def _rows(data: NDArray[np.uint8], span: Span, header: bytes, stride: int) -> NDArray[np.uint8]:
    """The bytes (T, n) behind a header that is there every `stride` bytes."""
    start, end = span
    frames, rest = divmod(end - start, stride)
    if rest:
        raise NotCanonicalError
    rows = data[start:end].reshape(frames, stride)
    if rows[:, : len(header)].tobytes() != header * frames:
        raise NotCanonicalError
    return rows[:, len(header) :]


def _vector(data: NDArray[np.uint8], span: Span, stream: Stream) -> NDArray[np.uint8]:
    """The bytes (n,) of one vector."""
    header = vector_header(stream)
    start, end = span[0] + len(header), span[1]
    if end - start != value_bytes(stream) or data[span[0] : start].tobytes() != header:
        raise NotCanonicalError
    return data[start:end]
