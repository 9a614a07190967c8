"""A folder of object storage, and which of its objects are the shards of a split."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.objects import StoredObject, describe_object, list_objects, read_range
from common.problems import quoted
from common.units import format_bytes
from records.arrow.saved import STATE
from records.config import SplitSpec
from records.errors import DataError, calling
from records.order import GROUP_SHARDS
from records.schema import Schema
from records.shards import LIST, find_shards

_PIECE = 8 << 20
_LONGEST_NAME = 100
# Single arrays are a shard together; an object is a shard by itself.
_ARRAY = ".npy"


@dataclass(frozen=True)
class RemoteFolder:
    """Where shards lie in object storage, and their copies on this machine.

    Attributes:
        url: Without a slash at its end.
        copies: Folder of the copies.
        most: Bytes of all copies in it.
    """

    url: str
    copies: Path
    most: int

    @property
    def root(self) -> Path:
        """What stands for the folder where names are all that is asked of it."""
        return Path(self.url)

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A small file of the folder, here for a while; errors name its URL.

        Raises:
            DataError: There is none.
        """
        url = f"{self.url}/{name}"
        found = describe_object(url)
        if found is None:
            raise DataError(f"{url}: no such object")
        with tempfile.TemporaryDirectory() as folder, calling(folder, self.url):
            path = Path(folder, name)
            _fetch(path, url, found)
            yield path

    def shards(self, name: str, spec: SplitSpec, format: str, schema: Schema) -> RemoteShards:
        """The shards of a split as they are now; for the arguments see `open_split`.

        Raises:
            DataError: As in `find_shards`; or the copies of as many as are read at once do not fit.
        """
        listed = {each.name: each for each in list_objects(self.url)}
        if not listed:
            raise DataError(f"{self.url}: no object lies below it; set data.root")
        texts = {pattern.removeprefix(LIST) for pattern in spec.patterns + spec.excluded}
        # Patterns mean what they mean in a folder, so one is made: of empty files.
        with tempfile.TemporaryDirectory() as folder, calling(folder, self.url):
            for key, stored in listed.items():
                path = _empty_file(folder, key)
                if key in texts or path.name == STATE:
                    _fetch(path, f"{self.url}/{key}", stored)
            found = find_shards(Path(folder), name, spec, format, schema)
            names = [path.relative_to(folder).as_posix() for path in found]
        arrays = next((each for each in names if each.endswith(_ARRAY)), None)
        if arrays:
            raise DataError(
                f"{self.url}/{arrays}: single arrays are read from a folder of this machine; "
                "write them as .npz"
            )
        shards = RemoteShards(self, {self.root / each: listed[each] for each in names})
        shards.check_room()
        return shards


@dataclass(frozen=True)
class RemoteShards:
    """Shards in object storage.

    Attributes:
        folder: Where they lie.
        objects: By their paths below the folder's root, as they were when they were listed.
    """

    folder: RemoteFolder
    objects: Mapping[Path, StoredObject]

    @property
    def paths(self) -> tuple[Path, ...]:
        """In the order of their names."""
        return tuple(sorted(self.objects))

    def url(self, path: Path) -> str:
        """Of a shard."""
        return f"{self.folder.url}/{self.objects[path].name}"

    def copy_name(self, path: Path) -> str:
        """What a shard's copy is called: another content has another name."""
        stored = self.objects[path]
        seen = f"{self.url(path)}\0{stored.size}\0{stored.version}"
        digest = hashlib.sha256(seen.encode()).hexdigest()[:32]
        # Its end says the format.
        return f"{digest}-{path.name[-_LONGEST_NAME:]}"

    def joined(self, other: RemoteShards) -> RemoteShards:
        """These shards and others of the same folder."""
        return RemoteShards(self.folder, {**self.objects, **other.objects})

    def check_room(self) -> None:
        """Makes sure that the copies of the shards of two groups, and more, can lie side by side.

        Raises:
            DataError: They cannot.
        """
        sizes = sorted((each.size for each in self.objects.values()), reverse=True)
        group = sum(sizes[:GROUP_SHARDS])
        if 2 * group > self.folder.most:
            room, count = format_bytes(self.folder.most), min(GROUP_SHARDS, len(sizes))
            raise DataError(
                f"data.cache: {room} are too few for {self.folder.url}: {count} shards are read at "
                f"once, up to {format_bytes(group)}, and the next ones lie beside them; give at "
                "least twice that"
            )


def _empty_file(folder: str, name: str) -> Path:
    path = Path(folder, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{folder}: the object {quoted(name)} cannot be a file: {reason}; take it away"
        ) from None
    return path


def _fetch(path: Path, url: str, stored: StoredObject) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, stored.size, _PIECE):
            file.write(read_range(url, stored, start, min(start + _PIECE, stored.size)))
