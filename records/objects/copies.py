"""Copies of objects in a folder of this machine, of bounded bytes, that several processes share.

A copy has a name that another content never has, so it is whole, or it is not there: it is written
beside its place and renamed. Beside each lies a file to be locked, by whom writes the copy alone,
and by whoever reads it with others; its time says when the copy was last asked for. Locks end with
their process, and what a killed process was writing is removed by who comes next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from common.files import sync

_LOCKS, _WRITTEN, _UNPACKED = "locks", ".part", ".unpacked"


class Copy:
    """A copy that is not removed as long as it is not released.

    Attributes:
        path: Of the file.
        beside: Folder for what is made of it, which is removed with it.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self.beside = path.with_name(path.name + _UNPACKED)
        self._lock = lock

    def release(self) -> None:
        """It is needed no more."""
        os.close(self._lock)


class Copies:
    """A folder of copies.

    Args:
        folder: Made if it is missing.
        most: Bytes of all copies. Those that are in use are never removed: where they alone are
            more, there are more.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        (folder / _LOCKS).mkdir(parents=True, exist_ok=True)

    def place(self, name: str) -> Path:
        """Where a copy lies, if there is one."""
        return self._folder / name

    def use(self, name: str) -> Copy | None:
        """A copy, after whoever is writing it has done so; None where there is none."""
        lock = self._opened(name)
        fcntl.flock(lock, fcntl.LOCK_SH)
        path = self.place(name)
        if not path.is_file():
            os.close(lock)
            return None
        _touch(lock)
        return Copy(path, lock)

    @contextmanager
    def writing(self, name: str, size: int, wait: bool) -> Iterator[BinaryIO | None]:
        """A file of zeros to be filled, which becomes the copy of that name.

        Older copies make room for it. Where an exception leaves the body, there is no copy.

        Args:
            name: The copy's.
            size: Its bytes.
            wait: For whoever is writing it.

        Yields:
            None where there is nothing to do: there is such a copy by now, or, without `wait`,
            somebody is writing it.
        """
        lock = self._opened(name)
        try:
            if not _locked(lock, wait) or (self._folder / name).is_file():
                yield None
                return
            part = self._folder / (name + _WRITTEN)
            try:
                with part.open("wb") as file:
                    self._make_room(size, file)
                    yield file
                sync(part)
                os.replace(part, self._folder / name)
                _touch(lock)
            finally:
                part.unlink(missing_ok=True)
        finally:
            os.close(lock)

    def trim(self) -> None:
        """Removes what is too much: what was made of copies grew."""
        self._make_room(0, None)

    def _make_room(self, size: int, file: BinaryIO | None) -> None:
        """Removes copies, the least recently used first, and takes the room for a file."""
        with (self._folder / _LOCKS / "room").open("wb") as room:
            fcntl.flock(room, fcntl.LOCK_EX)
            sizes = self._sizes()
            excess = sum(sizes.values()) + size - self._most
            for name in sorted(sizes, key=self._last_used) if excess > 0 else ():
                if excess <= 0:
                    break
                if self._removed(name):
                    excess -= sizes[name]
            if file is not None:
                # From here on others count it.
                file.truncate(size)

    def _sizes(self) -> dict[str, int]:
        """Bytes by copy, with what belongs to it."""
        sizes: dict[str, int] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                # What another process has just finished has another name by now.
                with suppress(FileNotFoundError):
                    if entry.name.endswith(_UNPACKED):
                        inside = Path(entry).iterdir()
                        size = sum(each.stat().st_size for each in inside)
                    else:
                        size = entry.stat().st_size if entry.is_file() else 0
                    name = entry.name.removesuffix(_UNPACKED).removesuffix(_WRITTEN)
                    sizes[name] = sizes.get(name, 0) + size
        del sizes[_LOCKS]
        return sizes

    def _last_used(self, name: str) -> int:
        try:
            return (self._folder / _LOCKS / name).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _removed(self, name: str) -> bool:
        """Removes a copy, or what a killed process left of it, if nobody uses it."""
        lock = self._opened(name)
        try:
            if not _locked(lock, wait=False):
                return False
            for suffix in ("", _WRITTEN):
                (self._folder / (name + suffix)).unlink(missing_ok=True)
            shutil.rmtree(self._folder / (name + _UNPACKED), ignore_errors=True)
            return True
        finally:
            os.close(lock)

    def _opened(self, name: str) -> int:
        return os.open(self._folder / _LOCKS / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _locked(lock: int, wait: bool) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _touch(lock: int) -> None:
    """Sets its time, finer than the clock by which the system would."""
    now = time.time_ns()
    os.utime(lock, ns=(now, now))
