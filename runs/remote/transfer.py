"""How the files of a task get from a folder into object storage, and back: whole or absent.

In object storage a task is whole or absent as it is on a disk: its files are put first and `DONE`
last, where none stands. Files without `DONE` are of a task that was begun, or of a put that was cut
short; nobody takes them for a finished one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from common.errors import UserError
from common.files import sync
from common.messages import warn
from common.objects import StoredObject
from runs.marker import DONE_NAME, Marker
from runs.remote.agreement import Stamp, stamp_of
from runs.remote.folder import ObjectFolder
from runs.remote.names import by_task, is_of_run, names_in
from runs.store import ORPHAN_SECONDS, TASK_NAME, locked

There = Mapping[str, StoredObject]


class Transfer:
    """Fetches and puts what one process works on; names are those of files below both.

    Args:
        root: The folder.
        objects: The run in object storage.
    """

    def __init__(self, root: Path, objects: ObjectFolder) -> None:
        self._root, self._objects = root, objects
        # What was put or fetched, by this process.
        self._same: dict[str, Stamp | None] = {}

    def there(self, below: str = "") -> dict[str, StoredObject]:
        """The objects that are files of the run, or those below a name."""
        return {n: each for n, each in self._objects.list(below).items() if is_of_run(n)}

    def is_same(self, name: str) -> bool:
        """Whether a file was put or fetched by this process, and not written since."""
        return name in self._same and self._same[name] == stamp_of(self._root / name)

    def stamp(self, name: str) -> Stamp | None:
        """What a file was like when it was put."""
        return self._same[name]

    def put(self, names: Iterable[str]) -> None:
        """Puts files, whatever stands there."""
        files = {name: self._root / name for name in names}
        stamps = {name: stamp_of(path) for name, path in files.items()}
        self._objects.put(files)
        self._same.update(stamps)

    def put_task(
        self, task: str, names: Iterable[str], there: There, marker: bytes | None
    ) -> bytes | None:
        """Puts a task of which no `DONE` stands there, its own last and on that condition.

        Args:
            task: Its name.
            names: Of its files.
            there: What there is of it.
            marker: Its `DONE`; None where it is only begun.

        Returns:
            The `DONE` that stands then, if it has one.
        """
        done, first, names = f"{task}/{DONE_NAME}", f"{task}/{TASK_NAME}", [*names]
        same = self._clear(task, {*by_task(there).get(task, ())}, {*names})
        changed = [n for n in names if n != done and not (n in same and self.is_same(n))]
        # What says whose files these are; then the checkpoint of a training before the log of its
        # steps, which must not be shorter.
        ordered = sorted(changed, key=lambda name: (name != first, name))
        for some in ([name] for name in ordered) if marker is None else (ordered[:1], ordered[1:]):
            self.put(some)
        return None if marker is None else self._objects.create(done, marker)

    def fetch_task(self, task: str, names: Iterable[str], there: There) -> None:
        """Fetches a task, `DONE` last; what else lies in its folder goes.

        `DONE` does not stand here afterwards where what it covers is damaged, which is said.
        """
        done, here = f"{task}/{DONE_NAME}", self._root / task
        # Where an earlier command was killed, what it started may still be dying.
        with locked(here, f"task {task}", ORPHAN_SECONDS):
            (here / DONE_NAME).unlink(missing_ok=True)
            sync(here)
            found = by_task(names_in(self._root, task))
            for name in {*found.get(task, ()), *found.get("", ())} - {*names}:
                (self._root / name).unlink()
            files = [there[name] for name in names if name != done]
            self._objects.get(files, self._root)
            self._same |= {each.name: stamp_of(self._root / each.name) for each in files}
            if done in there:
                self._objects.get([there[done]], self._root)
                if is_damaged(here):
                    (here / DONE_NAME).unlink()
                    warn(f"{self._objects.url}/{task}: is damaged; has to be made again")

    def delete_task(self, task: str, names: Iterable[str]) -> None:
        """Deletes objects of a task, last what shows that they are of one."""
        gone, first = {*names}, f"{task}/{TASK_NAME}"
        self._objects.delete(gone - {first})
        self._objects.delete(gone & {first})

    def _clear(self, task: str, there: set[str], here: set[str]) -> set[str]:
        """Deletes the objects of a task that no file takes the place of; returns those that stay.

        Of what other inputs made nothing stays, a checkpoint least of all.
        """
        first = f"{task}/{TASK_NAME}"
        same = first in there and self._objects.read(first) == (self._root / first).read_bytes()
        kept = there & here if same else set()
        self.delete_task(task, there - kept)
        return kept


def is_damaged(folder: Path) -> bool:
    """Whether a task's folder does not hold all that a `DONE` of its own covers."""
    try:
        marker = Marker.read(folder)
    except UserError:
        return True
    return marker is None or marker.damaged(folder) is not None
