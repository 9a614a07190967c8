"""Which files of a run were the same here and in object storage, by what was seen of both."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from common.codec import from_plain, to_plain
from common.errors import UserError
from runs.checksums import read_checked_json, write_checked_json

AGREEMENT_NAME = "COPY"

# Size, and time of the last change in nanoseconds.
Stamp = tuple[int, int]


@dataclass(frozen=True)
class Seen:
    """A file when it was last the same here and there.

    Attributes:
        here: None where it was found damaged, and is not here.
        there: the version of the object.
    """

    here: Stamp | None
    there: str


@dataclass
class Agreement:
    """What a working copy keeps in a file of its own; a damaged one counts as none.

    Attributes:
        copy: names the working copy.
        seen: by name.
    """

    copy: str = field(default_factory=lambda: secrets.token_hex(8))
    seen: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Agreement:
        """That of a run's folder."""
        place = root / AGREEMENT_NAME
        try:
            return from_plain(cls, read_checked_json(place), str(place))
        except UserError:
            return cls()

    def write(self, root: Path) -> None:
        """Writes it, whole or not at all."""
        write_checked_json(root / AGREEMENT_NAME, to_plain(self))

    def has_there(self, name: str, version: str | None) -> bool:
        """Whether an object is the one that was seen."""
        return name in self.seen and self.seen[name].there == version

    def has_here(self, name: str, path: Path) -> bool:
        """Whether a file is the one that was seen."""
        return name in self.seen and self.seen[name].here == stamp_of(path)


def stamp_of(path: Path) -> Stamp | None:
    """What changes when a file is written; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
