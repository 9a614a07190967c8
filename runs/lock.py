"""File locks that end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runs.errors import RunError

LOCK_NAME = "LOCK"
_POLL_SECONDS = 0.05
_held: set[int] = set()


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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    _held.add(descriptor)
    try:
        _acquire(descriptor, holder, time.monotonic() + timeout)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _acquire(descriptor: int, holder: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                number = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                raise RunError(
                    f"{holder} is in use by process {number}: wait for it to end or stop it"
                ) from None
        time.sleep(_POLL_SECONDS)


def _drop_in_child() -> None:
    """A forked data worker must not keep its parent's locks alive after the parent's death."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_drop_in_child)
