"""Safetensors files: the library reads them, and what it lets pass is checked here.

It refuses what is no header of the format, and tensors that overlap, leave a hole, or take another
size than their type and shape do. It does not mind

- a header of up to 100 MB, the parsing of which takes several times as much, and any number of
  values and tensors in it;
- a tensor's name or a key of the metadata that stands twice; it takes the last;
- fields of a tensor that it does not know;
- types that the caller does not, and shapes of so many dimensions that torch gives up.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from common.codec import count_values, parse_json
from common.errors import UserError
from common.problems import one_line, quoted

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 17_000  # elements; larger tensors are quantized (Skalic & Austin 2018, section 3.2)
MAX_HEADER = 16 * 2**20
# What a header may have in any file, and that it may have one more for so many bytes of the file.
# Far above any need (a tensor takes about 100 bytes and ten values, a label's name 30 bytes and one
# value), and low enough that a header made to fill memory, or time, stays harmless.
_BOUNDS = {"bytes": (4 * 2**20, 8), "values": (2**17, 256), "tensors": (2**12, 2**13)}
METADATA = "__metadata__"
_LENGTH = 8
_FIELDS = {"dtype", "shape", "data_offsets"}
_MAX_DIMENSIONS = 8


def map_tensors(
    path: Path, dtypes: Collection[str], error: type[UserError]
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Maps a file into memory, after checking that its header tells the truth.

    Args:
        path: Of the file.
        dtypes: The types that it may have, as the format names them: `U8`, `F32`.
        error: What to raise.

    Returns:
        The metadata, and the tensors by name: views of the mapped file, which stays as it is even
        if they are written to. They last as long as the file is not cut.

    Raises:
        error: The file cannot be opened, or anything about it is not as it has to be; the message
            is one line that opens with the path.
    """
    header = read_header(path, error)
    try:
        with safe_open(path, "pt") as file:
            _check(path, header[_LENGTH:], dtypes, error)
            return file.metadata() or {}, file.get_tensors()
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}") from problem
    except SafetensorError as problem:
        reason = one_line(problem).removeprefix("Error while deserializing header: ")[:200]
        raise error(f"{path}: not a safetensors file, or cut short: {reason}") from None


def read_header(path: Path, error: type[UserError]) -> bytes:
    """A file's length of the header (8 bytes) and the header, bounded but otherwise unchecked.

    Raises:
        error: The file cannot be opened, or its header has more bytes or values than it may have.
    """
    try:
        with path.open("rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            start = raw.read(_LENGTH)
            check_count("bytes", int.from_bytes(start, "little"), size, str(path), error)
            header = start + raw.read(int.from_bytes(start, "little"))
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}") from problem
    check_count("values", count_values(header), size, str(path), error)
    return header


def check_count(what: str, count: int, size: int, place: str, error: type[UserError]) -> None:
    """Makes sure that a header has no more of something than its file may have.

    Args:
        what: `bytes`, `values` or `tensors`.
        count: How many there are.
        size: Of the file, in bytes.
        place: For the message.
        error: What to raise.

    Raises:
        error: There are more.
    """
    base, share = _BOUNDS[what]
    most = base + size // share
    if what == "bytes":
        most = min(most, MAX_HEADER)
    if count > most:
        raise error(
            f"{place}: claims a header of {count} {what}; in a file of {size} bytes {most} is the "
            "limit"
        )


def _check(path: Path, header: bytes, dtypes: Collection[str], error: type[UserError]) -> None:
    """Refuses what the library has let pass."""
    entries: dict[str, Any] = parse_json(header, f"{path}: header", error)
    entries.pop(METADATA, None)
    check_count("tensors", len(entries), path.stat().st_size, str(path), error)
    for name, entry in entries.items():
        place = f"{path}: tensor {quoted(name)}"
        if not isinstance(entry, dict) or entry.keys() != _FIELDS:
            raise error(f"{place}: needs dtype, shape and data_offsets, and nothing else")
        if entry["dtype"] not in dtypes:
            known = ", ".join(dtypes)
            raise error(f"{place}: dtype {quoted(entry['dtype'])}; {known} are known")
        if len(entry["shape"]) > _MAX_DIMENSIONS:
            raise error(f"{place}: shape of more than {_MAX_DIMENSIONS} dimensions")
