"""Where the shards of a run lie: in a folder, or in object storage with copies on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import ConfigError
from common.files import user_cache
from common.objects import is_object_url, object_url
from common.units import parse_bytes
from records.config import DataConfig
from records.objects.folder import RemoteFolder


@dataclass(frozen=True)
class DataRoot:
    """The folder of some shards.

    Attributes:
        path: Of the folder, absolute; for object storage what stands for it in names.
        remote: The folder in object storage, if it is one.
    """

    path: Path
    remote: RemoteFolder | None = None

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A small file of the folder; an absolute path is one of this machine all the same.

        Raises:
            records.DataError: object storage has no such object.
        """
        if self.remote is None or Path(name).is_absolute():
            yield self.path / name
            return
        with self.remote.file(name) as path:
            yield path


def data_root(text: str, key: str, data: DataConfig, hint: str) -> DataRoot:
    """The folder that a configuration names.

    Args:
        text: Its path or URL.
        key: Whose value that is.
        data: Says where copies lie, and how many bytes they may take.
        hint: What to do where it is no folder.

    Raises:
        ConfigError: It is no folder, or no URL that can be used; or `data.cache` is wrong.
    """
    if is_object_url(text):
        url, most = object_url(text, key), parse_bytes(data.cache, "data.cache")
        remote = RemoteFolder(url, _copies(data), most)
        return DataRoot(remote.root, remote)
    path = Path(text)
    if not path.is_dir():
        raise ConfigError(f"{key}: {path} is no folder; {hint}")
    return DataRoot(path.resolve())


def _copies(data: DataConfig) -> Path:
    if data.cache_folder is not None:
        return Path(data.cache_folder).resolve()
    return user_cache("shards")
