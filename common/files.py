"""Files that are either whole or absent: written beside their place, flushed, renamed into it."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.codec import parse_json
from common.errors import UserError

TEMPORARY_SUFFIX = ".tmp"
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on leaving, it becomes `path` or nothing does.

    Missing parent folders are made, an existing file is replaced. The content is flushed to the
    disk before the rename and the folder after it, so that a kill or a power cut leaves the old
    file or the new one, whole. A kill in between leaves a file named `.<name>.<random>.tmp`, which
    nothing reads.

    Raises:
        UserError: The body finished without writing the file.
        OSError: It could not be written; the error names `path`.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_path(target) as beside:
        ...     _ = beside.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY_SUFFIX}")
    with naming(path, instead_of=beside):
        try:
            yield beside
            if not beside.is_file():
                raise UserError(f"{path}: nothing was written to its temporary file {beside.name}")
            sync(beside)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def naming(path: Path, instead_of: Path | None = None) -> Iterator[None]:
    """An error of the operating system names `path` if it names no file, or `instead_of`.

    A write that fails does not know what it writes to. Libraries in Rust, such as safetensors, put
    the system's error into a text of their own; it is taken out of it.

    Raises:
        OSError: instead of what was raised.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if error.filename not in (None, str(instead_of)):
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except Exception as error:
        found = _SYSTEM_ERROR.search(str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


def sync(path: Path) -> None:
    """Flushes a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Writes `data` to `path` atomically."""
    with atomic_path(path) as beside:
        beside.write_bytes(data)


def write_json(path: Path | str, value: Any) -> None:
    """Writes `value` as indented UTF-8 JSON to `path`, atomically, in the order of its keys.

    Raises:
        UserError: `value` holds NaN, an infinity or something that JSON does not know.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: not writable as JSON: {error}") from error
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path | str) -> Any:
    """Reads a JSON file.

    Raises:
        UserError: The file is missing or not JSON.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_json(data, str(path))


def user_cache(name: str) -> Path:
    """The folder of this user's caches in which the program keeps one of its own."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "onegig", name)


def sha256_file(path: Path | str) -> str:
    """The sha256 of a file's bytes, in hex, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
