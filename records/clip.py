"""One clip, as every format of data hands it out, and what it is held against."""

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.problems import quoted
from records.errors import DataError
from records.labels import Written, label_indices, unknown_mask
from records.schema import Schema

LONGEST_ID = 256  # bytes of UTF-8: the ids of a split are kept side by side, as wide as the longest
_CONTROL = ("Cc", "Zl", "Zp")  # Unicode's controls, and its ends of lines and of paragraphs


@dataclass(frozen=True)
class Clip:
    """One example.

    Attributes:
        id: The clip's id; see `check_id`.
        labels: (n,) int64, ascending, each once; empty where the record has none.
        features: By stream: (T, D) at frame level, (D,) at video level; uint8 or float32. They may
            be read-only, strided and unaligned views of the record: copy what is to be kept.
        repeated_labels: How many labels the record has beyond those, each a repetition.
        unknown: (V,) True for the labels of which nobody knows whether the clip has them; None
            where all are known.
    """

    id: str
    labels: NDArray[np.int64]
    features: dict[str, np.ndarray]
    repeated_labels: int = 0
    unknown: NDArray[np.bool_] | None = None


def check_clip(clip: Clip, schema: Schema) -> Clip:
    """A clip as a schema has it; what a format reads is not believed.

    Its labels, and those that are unknown, are as the record writes them: see `label_indices`.

    Returns:
        Its labels are ascending, each once, and its features those of the schema only.

    Raises:
        DataError: The id is not as in `check_id`, a stream is missing or has another size, type or
            number of frames, the labels are out of range or not written as the schema says, or a
            feature holds NaN or infinity.
    """
    if not isinstance(clip.id, str):
        raise DataError(f"the id is {quoted(clip.id)}; it must be a text")
    check_id(clip.id)
    features = schema_features(clip, schema)
    labels = _row(clip.labels, clip.id) if schema.labels_key else ()
    unknown = _row(clip.unknown, clip.id) if schema.has_unknown_labels else ()
    return clip_of(clip.id, labels, features, schema, unknown)


def _row(written: Written | None, clip_id: str) -> Written:
    """Labels as a record writes them, shown to be a row."""
    row = np.asarray(() if written is None else written)
    if row.ndim != 1:
        found = f"{row.dtype} {row.shape}"
        raise DataError(f"clip {quoted(clip_id)}: the labels are {found}, not a row of labels")
    return row


def check_id(clip_id: str) -> None:
    """Makes sure that an id survives every file that is keyed by it.

    Raises:
        DataError: It is empty, longer than `LONGEST_ID`, no Unicode, or holds a control character.
    """
    if 0 < len(clip_id) <= LONGEST_ID and clip_id.isascii() and clip_id.isprintable():
        return
    if not clip_id:
        raise DataError("the id is empty; give the clip one")
    try:
        size = len(clip_id.encode())
    except UnicodeEncodeError:
        raise DataError(f"the id {quoted(clip_id)} is no Unicode text; rewrite it") from None
    if size > LONGEST_ID:
        raise DataError(
            f"the id {quoted(clip_id)} has {size} bytes, more than {LONGEST_ID}; shorten it"
        )
    # Line ends break tables, and to NumPy's strings a NUL at the end is not there.
    if not clip_id.isprintable() and any(unicodedata.category(c) in _CONTROL for c in clip_id):
        raise DataError(f"the id {quoted(clip_id)} holds a control character; rewrite it")


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
                f"clip {quoted(clip.id)}: stream {quoted(stream.name)} should be "
                f"{stream.encoding} {shape}; found {found}"
            )
        out[stream.name] = values
    return out


def clip_of(
    clip_id: str,
    labels: Written,
    features: dict[str, np.ndarray],
    schema: Schema,
    unknown: Written = (),
    finite: bool = False,
    ordered: bool = False,
) -> Clip:
    """The clip of labels as a record writes them, and of features as the schema has them.

    Args:
        clip_id: Checked already.
        labels: In any order; see `label_indices`.
        features: Of the schema's sizes and types.
        schema: Says how labels are written.
        unknown: Labels of which nobody knows whether the clip has them, written like `labels`.
        finite: Whether it is known already that all features are finite.
        ordered: Whether it is known already that the labels, int64, are indices of labels,
            ascending and each once; no label is unknown then.

    Raises:
        DataError: Labels are not as the schema says, one is both there and unknown, a value is not
            finite, or streams have different numbers of frames.
    """
    mask, repeated = None, 0
    if not ordered:
        labels, repeated, mask = _ordered(clip_id, labels, schema, unknown)
    for name, values in () if finite else features.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(
                f"clip {quoted(clip_id)}: stream {quoted(name)} holds NaN or infinity; remove the "
                "clip"
            )
    if schema.level == "frame" and len({len(frames) for frames in features.values()}) > 1:
        counts = {name: len(frames) for name, frames in features.items()}
        raise DataError(
            f"clip {quoted(clip_id)}: streams have different numbers of frames: "
            f"{quoted(counts)}; mend it"
        )
    return Clip(clip_id, np.asarray(labels, np.int64), features, repeated, mask)


def _ordered(
    clip_id: str, labels: Written, schema: Schema, unknown: Written
) -> tuple[Written, int, NDArray[np.bool_] | None]:
    """The indices of labels, ascending and each once; how many repeat others; the unknown ones."""
    try:
        indices = label_indices(labels, schema)
        ordered = sorted(set(indices))
        mask = None
        if schema.has_unknown_labels:
            mask = unknown_mask(label_indices(unknown, schema), ordered, schema)
    except DataError as error:
        raise DataError(f"clip {quoted(clip_id)}: {error}") from None
    return ordered, len(indices) - len(ordered), mask
