"""The file of a bundle: five types of tensors in safetensors, the same content the same bytes.

A file is the length of its header (8 bytes, little endian), the header (JSON: by tensor its type,
shape and place; under `__metadata__` texts), padded with spaces, and the tensors' bytes without a
gap. The library would write it in another order, and pads as it likes.

The first text of the metadata, `crc32c`, has eight digits for the header, its length and padding
included and these digits left out, and then eight for every tensor, in the order of the file. So
every byte is covered. The header's own digits are right behind `_START`, where they are found
before anything is read of it.
"""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
import torch
from torch import Tensor

from common.codec import count_values
from common.files import atomic_path
from common.problems import quoted
from common.tensors import METADATA, check_count, map_tensors, read_header
from quantize.errors import BundleError

_ALIGNMENT = 8
_CHECKSUMS = "crc32c"
_DIGITS = 8
_START = f'{{"{METADATA}":{{"{_CHECKSUMS}":"'
_DTYPE_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.int16: "I16",
    torch.int32: "I32",
}
_ITEM_BYTES = {name: dtype.itemsize for dtype, name in _DTYPE_NAMES.items()}


@dataclass(frozen=True)
class Container:
    """What a file holds.

    Attributes:
        metadata: Texts by name, without the checksums.
        tensors: By name, views of the memory-mapped file; another writer may have put those of
            several bytes a value at odd addresses.
        checked: Whether the file has checksums, of every byte; they are right.
        size: Bytes of the file.
    """

    metadata: dict[str, str]
    tensors: dict[str, Tensor]
    checked: bool
    size: int


@dataclass(frozen=True)
class TensorLayout:
    """A tensor of the file, without its data.

    Attributes:
        name: In the file, or in its member.
        dtype: `F32`, `F16`, `U8`, `I16` or `I32`.
        shape: As it is stored.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> Self:
        """That of a tensor."""
        return cls(name, _DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))

    @cached_property
    def nbytes(self) -> int:
        """Its bytes in the file."""
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]

    @cached_property
    def place(self) -> tuple[int, str]:
        """Sorts a file: the widest type first, so that all are aligned; then by name."""
        return -_ITEM_BYTES[self.dtype], self.name

    @cached_property
    def entry_bytes(self) -> int:
        """What its entry takes in the header, with a comma, without the digits of its offsets."""
        return len(self.entry()) + len(",,")

    def entry(self, *offsets: int) -> str:
        """What the header says of it."""
        values = {"dtype": self.dtype, "shape": self.shape, "data_offsets": offsets}
        return f"{json.dumps(self.name)}:{_json(values)}"


def write_container(
    path: Path, metadata: Mapping[str, str], tensors: Mapping[str, Tensor], slack: int = 0
) -> int:
    """Writes a file, atomically; the same arguments give the same bytes.

    Args:
        path: Where the file is to stand.
        metadata: Texts by name.
        tensors: By name, of those types, on the CPU.
        slack: Spaces to add to the header.

    Returns:
        The file's size in bytes.

    Raises:
        BundleError: The header would be larger than a reader accepts.
    """
    layouts, offsets = _in_order(TensorLayout.of(*item) for item in tensors.items())
    entries = [layout.entry(*ends) for layout, ends in zip(layouts, pairwise(offsets), strict=True)]
    checksums = [_checksum(_bytes(tensors[layout.name])) for layout in layouts]
    text = _text(metadata, checksums, entries).encode() + b" " * slack
    text += b" " * _padding(len(text))
    size = 8 + len(text) + offsets[-1]
    counts = {"bytes": len(text), "values": count_values(text), "tensors": len(tensors)}
    for what, count in counts.items():
        check_count(what, count, size, str(path), BundleError)
    header = struct.pack("<Q", len(text)) + text
    before, _, after = _around_digits(header)
    with atomic_path(path) as beside, beside.open("wb") as file:
        file.write(before + _checksum(before, after).encode() + after)
        for layout in layouts:
            file.write(tensors[layout.name].contiguous().numpy().data)
        return file.tell()


def container_bytes(
    metadata: Mapping[str, str], tensors: Iterable[TensorLayout], slack: int = 0
) -> int:
    """The size of the file that `write_container` would write of tensors with these layouts."""
    layouts, offsets = _in_order(tensors)
    header = len(_text(metadata, [""] * len(layouts), [])) + _DIGITS * len(layouts) + slack
    header += sum(layout.entry_bytes for layout in layouts)
    header += len("".join(map(str, offsets[:-1] + offsets[1:])))
    return 8 + header + _padding(header) + offsets[-1]


def _in_order(tensors: Iterable[TensorLayout]) -> tuple[list[TensorLayout], list[int]]:
    """The tensors in the order of the file; where each begins, and the end."""
    layouts = sorted(tensors, key=attrgetter("place"))
    return layouts, list(accumulate((layout.nbytes for layout in layouts), initial=0))


def _text(metadata: Mapping[str, str], checksums: Iterable[str], entries: Iterable[str]) -> str:
    """The header, with zeros in place of its own checksum."""
    first = {_CHECKSUMS: "0" * _DIGITS + "".join(checksums)}
    texts = _json(first | dict(sorted(metadata.items())))
    return "{" + ",".join([f'"{METADATA}":{texts}', *entries]) + "}"


def _around_digits(header: bytes) -> tuple[bytes, bytes, bytes]:
    """What is before the header's checksum (its length first), the checksum, what is behind."""
    begin = 8 + len(_START)
    return header[:begin], header[begin : begin + _DIGITS], header[begin + _DIGITS :]


def _checksum(*parts: Any) -> str:
    """CRC-32C in hex; of a gigabyte it takes a fifth of a second."""
    value = 0
    for part in parts:
        value = google_crc32c.extend(value, part)
    return f"{value:0{_DIGITS}x}"


def _bytes(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _padding(length: int) -> int:
    return -length % _ALIGNMENT


def read_container(path: Path) -> Container:
    """Maps a file into memory, after checking that its header tells the truth.

    Checksums are verified where there are any; files of older formats have none.

    Raises:
        BundleError: The file cannot be opened, or anything about it is not as it has to be.
    """
    header = read_header(path, BundleError)
    before, digits, after = _around_digits(header)
    found = before.endswith(_START.encode())
    if found and _checksum(before, after).encode() != digits:
        raise BundleError(f"{path}: its header is damaged: the checksum is of another")
    metadata, tensors = map_tensors(path, _ITEM_BYTES, BundleError)
    checksums = metadata.pop(_CHECKSUMS, None)
    if checksums is not None:
        _verify(path, checksums if found else "", tensors)
    return Container(metadata, tensors, checksums is not None, path.stat().st_size)


def _verify(path: Path, checksums: str, tensors: Mapping[str, Tensor]) -> None:
    layouts, _ = _in_order(TensorLayout.of(*item) for item in tensors.items())
    if len(checksums) != _DIGITS * (1 + len(layouts)):
        raise BundleError(f"{path}: its header is damaged: it needs a checksum for every tensor")
    for number, layout in enumerate(layouts, start=1):
        written = checksums[_DIGITS * number : _DIGITS * (number + 1)]
        if _checksum(_bytes(tensors[layout.name])) != written:
            place = f"{path}: tensor {quoted(layout.name)}"
            raise BundleError(f"{place}: is damaged: the checksum is of other bytes")
