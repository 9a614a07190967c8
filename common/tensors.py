"""Safetensors files: the library reads them, and what it lets pass is checked here.

It refuses what is no header of the format, and tensors that overlap, leave a hole, or take another
size than their type and shape do. It does not mind

- a header of up to 100 MB, the parsing of which takes several times as much;
- a tensor's name or a key of the metadata that stands twice; it takes the last;
- fields of a tensor that it does not know;
- types that the caller does not, and shapes of so many dimensions that torch gives up.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from common.codec import parse_json
from common.errors import UserError
from common.problems import one_line, quoted

if TYPE_CHECKING:
    from torch import Tensor

# Far above any need (a tensor takes about 100 bytes, a label's name 30), and low enough that a
# header made to fill memory with empty lists stays harmless.
MAX_HEADER = 16 * 2**20
METADATA = "__metadata__"
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
    try:
        with path.open("rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
            if length > MAX_HEADER:
                raise error(f"{path}: claims a header of {length} bytes; {MAX_HEADER} is the limit")
            with safe_open(path, "pt") as file:
                _check(path, raw.read(length), dtypes, error)
                return file.metadata() or {}, file.get_tensors()
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}") from problem
    except SafetensorError as problem:
        reason = one_line(problem).removeprefix("Error while deserializing header: ")[:200]
        raise error(f"{path}: not a safetensors file, or cut short: {reason}") from None


def _check(path: Path, header: bytes, dtypes: Collection[str], error: type[UserError]) -> None:
    """Refuses what the library has let pass."""
    entries: dict[str, Any] = parse_json(header, f"{path}: header", error)
    entries.pop(METADATA, None)
    for name, entry in entries.items():
        place = f"{path}: tensor {quoted(name)}"
        if not isinstance(entry, dict) or entry.keys() != _FIELDS:
            raise error(f"{place}: needs dtype, shape and data_offsets, and nothing else")
        if entry["dtype"] not in dtypes:
            known = ", ".join(dtypes)
            raise error(f"{place}: dtype {quoted(entry['dtype'])}; {known} are known")
        if len(entry["shape"]) > _MAX_DIMENSIONS:
            raise error(f"{place}: shape of more than {_MAX_DIMENSIONS} dimensions")
