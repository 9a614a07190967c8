"""The safetensors file format, of which this project needs three types and trusts nothing.

A file is the length of its header (8 bytes, little endian), the header (JSON: by tensor its type,
shape and place; under `__metadata__` texts), padded with spaces, and the tensors' bytes without a
gap. Writing is done here, since the bytes must be the same for the same content; reading is done
here, since every claim of the header is checked against the file before memory is spent on it.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from common.files import atomic_path
from quantize.errors import BundleError

# Far above any bundle's need (a tensor takes about 100 bytes, a label's name 30), and low enough
# that a header made to fill memory with empty lists stays harmless.
MAX_HEADER = 16 * 2**20
METADATA = "__metadata__"
ALIGNMENT = 8
_MAX_DIMENSIONS = 8
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "U8": torch.uint8}
DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class Container:
    """What a file holds.

    Attributes:
        metadata: Texts by name.
        tensors: By name; the uint8 ones are views of the memory-mapped file.
    """

    metadata: dict[str, str]
    tensors: dict[str, Tensor]


def write_container(
    path: Path, metadata: Mapping[str, str], tensors: Mapping[str, Tensor], slack: int = 0
) -> int:
    """Writes a file, atomically; the same arguments give the same bytes.

    Args:
        path: Where the file is to stand.
        metadata: Texts by name.
        tensors: By name, uint8, float16 or float32, on the CPU.
        slack: Spaces to add to the header.

    Returns:
        The file's size in bytes.

    Raises:
        BundleError: The header would be larger than a reader accepts.
    """
    head = _head(metadata, tensors, slack)
    if len(head) - 8 > MAX_HEADER:
        raise BundleError(f"{path}: a header of {len(head)} bytes; {MAX_HEADER} is the limit")
    with atomic_path(path) as beside, beside.open("wb") as file:
        file.write(head)
        for name in _order(tensors):
            file.write(tensors[name].contiguous().numpy().data)
    return len(head) + sum(tensor.nbytes for tensor in tensors.values())


def _order(tensors: Mapping[str, Tensor]) -> list[str]:
    """The widest type first, so that all are aligned; names sorted within a type."""
    return sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))


def _head(metadata: Mapping[str, str], tensors: Mapping[str, Tensor], slack: int) -> bytes:
    entries: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))}
    end = 0
    for name in _order(tensors):
        tensor = tensors[name]
        begin, end = end, end + tensor.nbytes
        entries[name] = {
            "dtype": DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode() + b" " * slack
    text += b" " * (-len(text) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def read_container(path: Path) -> Container:
    """Maps a file into memory, after checking that its header tells the truth.

    Raises:
        BundleError: The file cannot be opened, or anything about it is not as it has to be.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            header = _read_header(path, file, size)
            if size == header.begin:
                return Container(header.metadata, _views(path, header, b""))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from error
    return Container(header.metadata, _views(path, header, mapped))


@dataclass(frozen=True)
class _Entry:
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class _Header:
    metadata: dict[str, str]
    entries: tuple[_Entry, ...]
    begin: int


def _read_header(path: Path, file: Any, size: int) -> _Header:
    if size < 8:
        raise BundleError(f"{path}: {size} bytes; no bundle is that short")
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    if length > size - 8:
        raise BundleError(f"{path}: claims a header of {length} bytes in a file of {size}")
    if length > MAX_HEADER:
        raise BundleError(f"{path}: claims a header of {length} bytes; {MAX_HEADER} is the limit")
    values = parse_json(file.read(length), f"{path}: header")
    if not isinstance(values, dict):
        raise BundleError(f"{path}: header: a {type(values).__name__}, not an object")
    metadata = values.pop(METADATA, {})
    if not _is_texts(metadata):
        raise BundleError(f"{path}: header: {METADATA} is no object of texts")
    entries = [_entry(f"{path}: tensor {name!r}", name, value) for name, value in values.items()]
    _check_places(path, entries, size - 8 - length)
    return _Header(metadata, tuple(entries), 8 + length)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _entry(place: str, name: str, value: Any) -> _Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise BundleError(f"{place}: needs dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise BundleError(f"{place}: dtype {str(dtype)[:20]!r}; F32, F16 and U8 are known")
    if not _is_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise BundleError(f"{place}: shape is no list of up to {_MAX_DIMENSIONS} sizes")
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise BundleError(f"{place}: data_offsets are no two rising numbers")
    needed = math.prod(shape) * _DTYPES[dtype].itemsize
    if offsets[1] - offsets[0] != needed:
        raise BundleError(f"{place}: its shape needs {needed} bytes, its place has another size")
    return _Entry(name, _DTYPES[dtype], tuple(shape), offsets[0], offsets[1])


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < 2**48 for item in value
    )


def _check_places(path: Path, entries: Iterable[_Entry], body: int) -> None:
    reached = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != reached:
            kind = "overlaps the one before" if entry.begin < reached else "leaves a hole before it"
            raise BundleError(f"{path}: tensor {entry.name!r} at byte {entry.begin} {kind}")
        reached = entry.end
    if reached != body:
        raise BundleError(f"{path}: its tensors take {reached} bytes, the file has {body} for them")


def _views(path: Path, header: _Header, mapped: mmap.mmap | bytes) -> dict[str, Tensor]:
    return {entry.name: _view(entry, header.begin, mapped) for entry in header.entries}


def _view(entry: _Entry, begin: int, mapped: mmap.mmap | bytes) -> Tensor:
    count = math.prod(entry.shape)
    if count == 0:
        return torch.empty(entry.shape, dtype=entry.dtype)
    offset = begin + entry.begin
    if entry.dtype == torch.uint8:
        return torch.frombuffer(mapped, dtype=torch.uint8, count=count, offset=offset).reshape(
            entry.shape
        )
    # Another writer may have put it at an odd address; numpy copies from there, torch may not.
    dtype = "<f4" if entry.dtype == torch.float32 else "<f2"
    values = np.frombuffer(mapped, dtype=dtype, count=count, offset=offset).copy()
    return torch.from_numpy(values).reshape(entry.shape)


def parse_json(data: bytes | str, place: str) -> Any:
    """Strict JSON: no key twice, no NaN, no infinity.

    Raises:
        BundleError: It is not; the message opens with `place`.
    """
    try:
        return json.loads(data, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{place}: not JSON: {reason}") from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice")
    return values


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
