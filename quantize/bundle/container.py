"""The file of a bundle: five types of tensors in safetensors, the same content the same bytes.

A file is the length of its header (8 bytes, little endian), the header (JSON: by tensor its type,
shape and place; under `__metadata__` texts), padded with spaces, and the tensors' bytes without a
gap. The library would write it in another order, and pads as it likes.
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

import torch
from torch import Tensor

from common.files import atomic_path
from common.tensors import MAX_HEADER, METADATA, map_tensors
from quantize.errors import BundleError

_ALIGNMENT = 8
_DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.uint8: "U8"}
_DTYPE_NAMES |= {torch.int16: "I16", torch.int32: "I32"}
_ITEM_BYTES = {name: dtype.itemsize for dtype, name in _DTYPE_NAMES.items()}


@dataclass(frozen=True)
class Container:
    """What a file holds.

    Attributes:
        metadata: Texts by name.
        tensors: By name; the uint8 ones are views of the memory-mapped file.
    """

    metadata: dict[str, str]
    tensors: dict[str, Tensor]


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
    text = f"{{{','.join([_metadata(metadata), *entries])}}}".encode() + b" " * slack
    text += b" " * _padding(len(text))
    if len(text) > MAX_HEADER:
        raise BundleError(f"{path}: a header of {len(text)} bytes; {MAX_HEADER} is the limit")
    with atomic_path(path) as beside, beside.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for layout in layouts:
            file.write(tensors[layout.name].contiguous().numpy().data)
        return file.tell()


def container_bytes(
    metadata: Mapping[str, str], tensors: Iterable[TensorLayout], slack: int = 0
) -> int:
    """The size of the file that `write_container` would write of tensors with these layouts."""
    layouts, offsets = _in_order(tensors)
    header = len(_metadata(metadata)) + len("{}") + slack
    header += sum(layout.entry_bytes for layout in layouts)
    header += len("".join(map(str, offsets[:-1] + offsets[1:])))
    return 8 + header + _padding(header) + offsets[-1]


def _in_order(tensors: Iterable[TensorLayout]) -> tuple[list[TensorLayout], list[int]]:
    """The tensors in the order of the file; where each begins, and the end."""
    layouts = sorted(tensors, key=attrgetter("place"))
    return layouts, list(accumulate((layout.nbytes for layout in layouts), initial=0))


def _metadata(metadata: Mapping[str, str]) -> str:
    return f'"{METADATA}":{_json(dict(sorted(metadata.items())))}'


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _padding(length: int) -> int:
    return -length % _ALIGNMENT


def read_container(path: Path) -> Container:
    """Maps a file into memory, after checking that its header tells the truth.

    Raises:
        BundleError: The file cannot be opened, or anything about it is not as it has to be.
    """
    metadata, tensors = map_tensors(path, _ITEM_BYTES, BundleError)
    for name, tensor in tensors.items():
        if tensor.dtype != torch.uint8:
            # Another writer may have put it at an odd address, and the file may go.
            tensors[name] = tensor.clone()
    return Container(metadata, tensors)
