"""The objects of one run, by their names below its URL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from common.files import atomic_path
from common.objects import (
    CONNECTIONS,
    StoredObject,
    attempted,
    describe_object,
    file_system,
    is_refusal,
    list_objects,
    read_range,
)

Item = TypeVar("Item")
# What goes in one request of a large file. So many of them are in memory for each file that is put.
_PIECE_BYTES = 8 << 20
_PUTS_AT_ONCE = 4


@dataclass(frozen=True)
class ObjectFolder:
    """What lies below a URL such as `s3://bucket/runs/demo`.

    Every request is tried again for a while; what remains is an `ObjectError` of one line.
    """

    url: str

    def list(self, below: str = "") -> dict[str, StoredObject]:
        """All objects by name, or those below a name, in the order of the names."""
        start = f"{below}/" if below else ""
        found = list_objects(f"{self.url}/{below}".rstrip("/"))
        return {start + each.name: replace(each, name=start + each.name) for each in found}

    def version(self, name: str) -> str | None:
        """The version of an object, which is another one for another content; None: none is there.

        A reader that has seen it knows by it whether it was written again.
        """
        found = describe_object(self._at(name))
        return found.version if found else None

    def read(self, name: str) -> bytes | None:
        """The bytes of a small object; None where none is there."""
        url = self._at(name)

        def request() -> bytes | None:
            try:
                data: bytes = file_system(url).cat_file(url)
            except FileNotFoundError:
                return None
            return data

        return attempted(url, request)

    def write(self, name: str, data: bytes) -> None:
        """Writes a small object, whatever stood there."""
        url = self._at(name)
        attempted(url, lambda: file_system(url).pipe_file(url, data))

    def create(self, name: str, data: bytes) -> bytes:
        """Writes a small object where none stands (`If-None-Match: *`); returns what stands then.

        That are the bytes of whoever came first. A reply that was lost makes no other of oneself.
        """
        url = self._at(name)

        def request() -> bytes:
            files = file_system(url)
            try:
                files.pipe_file(url, data, mode="create")
            except Exception:
                there = self.read(name)
                if there is None:
                    raise
                return there
            return data

        return attempted(url, request)

    def keeps_conditions(self, name: str) -> bool:
        """Whether the storage refuses to create an object that stands, as not every one does."""
        url = self._at(name)
        data = self.read(name) or b""

        def request() -> bool:
            try:
                file_system(url).pipe_file(url, data, mode="create")
            except OSError as error:
                if is_refusal(error):
                    return True
                raise
            return False

        return attempted(url, request)

    def seconds_since_written(self, name: str) -> float:
        """How long ago an object was written, by the storage's own clock."""
        url, beside = self._at(name), self._at(f"{name}.now")

        def request() -> float:
            files = file_system(url)
            files.pipe_file(beside, b"")
            passed = files.modified(beside) - files.modified(url)
            files.rm_file(beside)
            return float(passed.total_seconds())

        return attempted(url, request)

    def put(self, files: Mapping[str, Path]) -> None:
        """Puts files by the names of their objects, several at once.

        Raises:
            FileNotFoundError: One is gone.
        """

        def put(name: str) -> None:
            url, path = self._at(name), files[name]
            # Otherwise it would be taken for an object that is missing.
            path.stat()
            attempted(
                url, lambda: file_system(url).put_file(str(path), url, chunksize=_PIECE_BYTES)
            )

        _at_once(put, files, _PUTS_AT_ONCE)

    def get(self, found: Iterable[StoredObject], root: Path) -> None:
        """Fetches objects into files of their names; each file is whole, or as it was."""

        def get(each: StoredObject) -> None:
            url, size = self._at(each.name), each.size
            with atomic_path(root / each.name) as beside, beside.open("wb") as file:
                for start in range(0, size, _PIECE_BYTES):
                    file.write(read_range(url, each, start, min(start + _PIECE_BYTES, size)))

        _at_once(get, found, CONNECTIONS)

    def delete(self, names: Iterable[str]) -> None:
        """Deletes objects, several at once."""

        def delete(name: str) -> None:
            url = self._at(name)
            attempted(url, lambda: file_system(url).rm_file(url))

        _at_once(delete, names, CONNECTIONS)

    def _at(self, name: str) -> str:
        return f"{self.url}/{name}"


def _at_once(do: Callable[[Item], None], items: Iterable[Item], at_once: int) -> None:
    """Does it with each item; the first error is raised when all that were begun have ended."""
    with ThreadPoolExecutor(at_once) as pool:
        for _ in pool.map(do, items):
            pass
