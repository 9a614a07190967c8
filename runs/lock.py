"""File locks that end with the process that holds them, however it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from runs.errors import RunError

LOCK_NAME = "LOCK"


@contextmanager
def file_lock(path: Path, holder: str, timeout: float = 0.0) -> Iterator[None]:
    """Holds an exclusive lock on `path`; the kernel ends it when this process dies.

    The file keeps the process number of its last holder and is never removed, since a removed
    lock file would let two processes lock two files of one name.

    Args:
        path: The lock file; it and its folder are made when missing.
        holder: What is locked, for the message: `run outputs/demo`.
        timeout: Seconds to wait for another holder to finish.

    Raises:
        RunError: Another process, or another lock of this one, still holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout)
    try:
        lock.acquire()
    except Timeout:
        number = path.read_text(errors="replace").strip() or "unknown"
        raise RunError(
            f"{holder} is in use by process {number}: wait for it to end or stop it"
        ) from None
    try:
        path.write_text(f"{os.getpid()}\n")
        yield
    finally:
        lock.release()
