"""The file of a bundle: three types of tensors in safetensors, the same content the same bytes.

A file is the length of its header (8 bytes, little endian), the header (JSON: by tensor its type,
shape and place; under `__metadata__` texts), padded with spaces, and the tensors' bytes without a
gap. The library would write it in another order, and pads as it likes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.files import atomic_path
from common.tensors import MAX_HEADER, METADATA, map_tensors
from quantize.errors import BundleError

ALIGNMENT = 8
DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.uint8: "U8"}


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
    metadata, tensors = map_tensors(path, DTYPE_NAMES.values(), BundleError)
    for name, tensor in tensors.items():
        if tensor.dtype != torch.uint8:
            # Another writer may have put it at an odd address, and the file may go.
            tensors[name] = tensor.clone()
    return Container(metadata, tensors)
