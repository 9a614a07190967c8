"""`DONE`, the marker of a finished task: what it vouches for, and whether that is still so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.codec import from_plain, to_plain
from runs.checksums import read_checked_json, sha256_once, write_checked_json
from runs.errors import RunError
from runs.keys import content_key

DONE_NAME = "DONE"


@dataclass(frozen=True)
class CoveredFile:
    """What the marker says of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Marker:
    """What `DONE` says.

    Attributes:
        key: The content key of the task's inputs.
        files: Those that it covers, by their names relative to the task's folder.
        summary: A few figures.
    """

    key: str
    files: dict[str, CoveredFile]
    summary: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Marker | None:
        """The marker of a task's folder; None where none stands.

        Raises:
            UserError: It is not as it was written.
        """
        place = folder / DONE_NAME
        return from_plain(cls, read_checked_json(place), str(place)) if place.exists() else None

    def write(self, folder: Path) -> None:
        """Writes it, with a checksum of its own."""
        write_checked_json(folder / DONE_NAME, to_plain(self))

    @property
    def digest(self) -> str:
        """One hash of the covered files' names and contents."""
        return content_key({name: entry.sha256 for name, entry in self.files.items()})

    def damaged(self, folder: Path) -> str | None:
        """The first covered file that is missing or not as it was written; None where none is."""
        return next((name for name in self.files if not self._is_as_written(folder, name)), None)

    def file(self, folder: Path, name: str) -> Path:
        """The path of a covered file, which is as it was written.

        Raises:
            RunError: It is not, or the marker does not cover it.
        """
        if name not in self.files or not self._is_as_written(folder, name):
            raise RunError(f"{folder / name}: missing or damaged; give the command again")
        return folder / name

    def _is_as_written(self, folder: Path, name: str) -> bool:
        path, entry = folder / name, self.files[name]
        try:
            return path.stat().st_size == entry.size and sha256_once(path) == entry.sha256
        except OSError:
            return False
