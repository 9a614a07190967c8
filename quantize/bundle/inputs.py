"""Clips that a caller has in memory, as NumPy arrays or torch tensors, held against a schema."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from common.problems import quoted
from quantize.errors import BundleError
from records import Clip, Schema, Stream

# So many times beyond what bytes stand for, floats are bytes that were cast.
_FAR = 10


def clips_of(
    given: Mapping[str, Any], schema: Schema, lengths: Any = None, mask: Any = None
) -> list[Clip]:
    """The clips of arrays by stream; see `Bundle.predict` for their shapes and types.

    Args:
        given: By stream.
        schema: What the bundle takes.
        lengths: (B,) how many frames of each clip are real, where they are padded.
        mask: In place of it (B, T) bool.

    Returns:
        Clips without labels, called by their numbers; of a stream all are bytes, or float32.

    Raises:
        BundleError: A stream is missing, unknown, or of another shape or type than the schema's, or
            holds NaN, infinity, or bytes that were cast to floats; or streams have different
            numbers of clips or frames.
    """
    _check_names(given, schema)
    streams = {stream.name: _clips(given[stream.name], stream, schema) for stream in schema.streams}
    counts = {name: len(clips) for name, clips in streams.items()}
    if len(set(counts.values())) > 1:
        raise BundleError(f"streams have different numbers of clips: {_listed(counts)}")
    _keep_real(streams, schema, lengths, mask)
    found = []
    for number, arrays in enumerate(zip(*streams.values(), strict=True)):
        features = dict(zip(streams, arrays, strict=True))
        frames = {name: len(array) for name, array in features.items()}
        if schema.level == "frame" and len(set(frames.values())) > 1:
            raise BundleError(
                f"clip {number}: streams have different numbers of frames: {_listed(frames)}"
            )
        found.append(Clip(str(number), np.zeros(0, np.int64), features))
    return found


def _check_names(given: Mapping[str, Any], schema: Schema) -> None:
    if not isinstance(given, Mapping):
        raise BundleError(
            f"clips: a {type(given).__name__}; give arrays by stream: {{{_wanted(schema)}}}"
        )
    names = {stream.name for stream in schema.streams}
    for what, wrong in (("missing", names - given.keys()), ("unknown", given.keys() - names)):
        if wrong:
            listed = ", ".join(quoted(name) for name in sorted(map(str, wrong))[:3])
            raise BundleError(f"streams: {listed} {what}; the bundle takes {_wanted(schema)}")


def _wanted(schema: Schema) -> str:
    shape = "(T, {})" if schema.level == "frame" else "({},)"
    return ", ".join(
        f"{quoted(stream.name)}: {shape.format(stream.size)}" for stream in schema.streams
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{quoted(name)} {count}" for name, count in counts.items())


def _clips(value: Any, stream: Stream, schema: Schema) -> list[np.ndarray]:
    """A stream of each clip: (T, D) at frame level, (D,) at video level."""
    place, dimensions = f"stream {quoted(stream.name)}", 2 if schema.level == "frame" else 1
    if isinstance(value, list | tuple):
        clips = [_array(own, f"{place}, clip {number}") for number, own in enumerate(value)]
    else:
        array = _array(value, place)
        clips = [array] if array.ndim == dimensions else list(array)
    for number, clip in enumerate(clips):
        if clip.ndim != dimensions or clip.shape[-1] != stream.size:
            wanted = f"(T, {stream.size})" if dimensions == 2 else f"({stream.size},)"
            raise BundleError(f"{place}, clip {number}: has shape {clip.shape}; {wanted} is needed")
    return _of_one_type(clips, place, stream, schema)


def _array(value: Any, place: str) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        # NumPy has no bfloat16.
        value = value.float() if value.is_floating_point() else value
        return np.asarray(value.numpy())
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise BundleError(f"{place}: no array: {error}") from None
    if array.ndim == 0:
        raise BundleError(f"{place}: a {type(value).__name__} is no array")
    return array


def _of_one_type(
    clips: list[np.ndarray], place: str, stream: Stream, schema: Schema
) -> list[np.ndarray]:
    """Bytes as they are, floats in float32."""
    kinds = {clip.dtype for clip in clips}
    if stream.encoding == "uint8" and kinds <= {np.dtype(np.uint8)}:
        return clips
    if any(kind.kind != "f" for kind in kinds):
        names = ", ".join(sorted(map(str, kinds)))
        wanted = "floats are needed"
        if stream.encoding == "uint8":
            wanted = "uint8 as stored is needed, or floats, dequantized, for all clips"
        raise BundleError(f"{place}: is {names}; {wanted}")
    with np.errstate(over="ignore"):
        floats = [clip.astype(np.float32, copy=False) for clip in clips]
    most = _FAR * max(abs(schema.quantized_min), abs(schema.quantized_max))
    for number, clip in enumerate(floats):
        if not np.isfinite(clip).all():
            raise BundleError(f"{place}, clip {number}: holds NaN or infinity")
        if stream.encoding == "uint8" and clip.size and np.abs(clip).max() > most:
            raise BundleError(
                f"{place}, clip {number}: holds {np.abs(clip).max():.6g}; floats are taken as "
                f"dequantized, {schema.quantized_min:g} to {schema.quantized_max:g}: give bytes as "
                "uint8"
            )
    return floats


def _keep_real(
    streams: dict[str, list[np.ndarray]], schema: Schema, lengths: Any, mask: Any
) -> None:
    """Takes away the frames that `lengths` or `mask` says are padding."""
    if lengths is None and mask is None:
        return
    if schema.level != "frame" or (lengths is not None and mask is not None):
        raise BundleError("lengths, mask: give one of them, where clips have frames")
    name, told = ("mask", mask) if lengths is None else ("lengths", lengths)
    own = _array(told, name)
    clips = next(iter(streams.values()))
    shape = (len(clips), len(clips[0]) if clips else 0)
    if name == "mask" and (own.dtype != bool or own.shape != shape):
        raise BundleError(f"mask: {own.dtype} {own.shape}; bool {shape} is needed")
    if name == "lengths":
        if own.dtype.kind not in "iu" or own.shape != shape[:1]:
            raise BundleError(f"lengths: {own.dtype} {own.shape}; {shape[0]} integers are needed")
        if own.size and not 0 <= own.min() <= own.max() <= shape[1]:
            raise BundleError(f"lengths: {own.min()} to {own.max()}; clips have {shape[1]} frames")
        own = np.arange(shape[1]) < own[:, None]
    for stream, rows in streams.items():
        if any(len(clip) != shape[1] for clip in rows):
            raise BundleError(f"{name}: stream {quoted(stream)} is not padded to {shape[1]} frames")
        streams[stream] = [clip[real] for clip, real in zip(rows, own, strict=True)]
