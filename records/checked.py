"""Files of a cache: an array, what is said of it, and one checksum over both.

The array lies at the start, so that it can be mapped; behind it come a JSON text, the text's length
(uint64, little-endian) and the SHA-256 of all that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from common.files import atomic_path
from common.messages import warn

_LENGTH_BYTES = 8
_DIGEST_BYTES = hashlib.sha256().digest_size


class CheckedWriter:
    """Writes such a file from front to end.

    Attributes:
        about: What is said of the array, as JSON knows it; written last.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.about: dict[str, Any] = {}
        self._file = file
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Adds bytes to the array."""
        self._file.write(data)
        self._digest.update(data)

    def _finish(self) -> None:
        text = json.dumps(self.about).encode()
        self.write(text + len(text).to_bytes(_LENGTH_BYTES, "little"))
        self._file.write(self._digest.digest())


@contextmanager
def write_checked(path: Path) -> Iterator[CheckedWriter]:
    """Writes such a file, whole or not at all."""
    with atomic_path(path) as beside, beside.open("wb") as file:
        writer = CheckedWriter(file)
        yield writer
        writer._finish()


def read_checked(path: Path) -> tuple[NDArray[np.uint8], dict[str, Any]] | None:
    """The array's bytes, mapped, and what is said of it.

    Returns:
        None where there is no such file. Nor where it is damaged: a line on standard error then
        says that it is made anew, which is the caller's part.
    """
    if not path.is_file():
        return None
    if path.stat().st_size > _LENGTH_BYTES + _DIGEST_BYTES:
        content = np.memmap(path, np.uint8, "r")
        digest = hashlib.sha256(content[:-_DIGEST_BYTES].data).digest()
        if digest == content[-_DIGEST_BYTES:].tobytes():
            end = len(content) - _DIGEST_BYTES - _LENGTH_BYTES
            start = end - int.from_bytes(content[end:-_DIGEST_BYTES].tobytes(), "little")
            about: dict[str, Any] = json.loads(content[start:end].tobytes())
            return content[:start], about
    warn(f"{path}: damaged; it is made anew")
    return None
