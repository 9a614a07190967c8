"""What is new in the files of a task that grow: a node tells it, and whoever waits has it too."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runs.store import LOG_NAME

# By the name of a file: from which byte on, and what stands there to its end.
Tails = Mapping[str, tuple[int, bytes]]


class Growing:
    """The log of a task and its files of lines.

    Args:
        folder: The task's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sizes: dict[str, int] = {}

    def news(self) -> Tails:
        """What was written since it was last asked; of a file that became shorter, all of it."""
        found = {}
        for path in (self._folder / LOG_NAME, *sorted(self._folder.glob("*.jsonl"))):
            with suppress(OSError), path.open("rb") as file:
                known = self._sizes.get(path.name, 0)
                start = known if path.stat().st_size >= known else 0
                file.seek(start)
                data = file.read()
                if data or start != known:
                    found[path.name] = start, data
                self._sizes[path.name] = start + len(data)
        return found


def write_tails(folder: Path, tails: Tails) -> None:
    """Makes the files of a task's folder what they are where it is worked on."""
    for name, (start, data) in tails.items():
        # The folder may be gone: of a trial that is wanted no more.
        with suppress(OSError), (folder / name).open("ab") as file:
            file.truncate(start)
            file.write(data)
