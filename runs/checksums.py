"""Whether a run's files are what was written: JSON files that carry a checksum, and sha256."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from common.files import read_json, sha256_file, write_json
from runs.errors import RunError
from runs.keys import content_key

_CHECKSUM = "checksum"


def write_checked_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes `value` as JSON, atomically, and in it the content key of all else as `checksum`.

    Raises:
        UserError: `value` has no content key.
    """
    write_json(path, {**value, _CHECKSUM: content_key(value)})


def read_checked_json(path: Path) -> dict[str, Any]:
    """Reads what `write_checked_json` wrote.

    Version 0.1 wrote no checksum; its files are taken as they are. No flipped bit makes such a file
    of another: the key would be there under another name.

    Raises:
        UserError: The file is missing, no JSON mapping, or not as it was written.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise RunError(f"{path}: not a mapping")
    checksum = value.pop(_CHECKSUM, None)
    if checksum is not None and checksum != content_key(value):
        raise RunError(f"{path}: damaged, its checksum is another; give the command again")
    return value


def sha256_once(path: Path) -> str:
    """The sha256 of a file, in hex; computed once a process, and again when the file changed.

    Raises:
        OSError: The file cannot be read.
    """
    found = path.stat()
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return _sha256(path, identity)


@cache
def _sha256(path: Path, identity: tuple[int, ...]) -> str:
    return sha256_file(path)
