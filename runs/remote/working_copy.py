"""The copy of a run on this machine: what is fetched into it, and what of it is put.

In object storage a task is whole or absent as it is on a disk: its files are put first and `DONE`
last, where none stands. Files without `DONE` are of a task that was begun, or of a put that was cut
short; nobody takes them for a finished one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from common.errors import UserError
from common.files import sync
from common.messages import say, warn
from common.objects import StoredObject
from runs.marker import DONE_NAME, Marker
from runs.progress import track
from runs.remote.agreement import Agreement, Seen, Stamp, stamp_of
from runs.remote.folder import ObjectFolder
from runs.remote.lease import RunTaken
from runs.remote.names import by_task, is_of_run, names_in
from runs.store import LOCK_NAME, ORPHAN_SECONDS, TASK_NAME, locked

# May be half written as long as a command works with it.
_DATABASE = ".db"

There = Mapping[str, StoredObject]


class WorkingCopy:
    """A run's folder on this machine, whose lock is held.

    Args:
        root: The folder.
        objects: The run in object storage.
        agreement: What both were found to have; it is kept up.
        check: Raises `RunTaken` where another command has the run; called before each change.
    """

    def __init__(
        self, root: Path, objects: ObjectFolder, agreement: Agreement, check: Callable[[], None]
    ) -> None:
        self._root, self._objects = root, objects
        self._agreement, self._check = agreement, check
        # What was put of tasks, by this command.
        self._put: dict[str, Stamp | None] = {}

    def pull(self) -> None:
        """Fetches what is not here, or was written elsewhere since; what is newer here stays.

        What was removed there is removed here; where nothing is there any more, all is put again.

        Raises:
            ObjectError: The storage cannot be read.
        """
        there = {name: each for name, each in self._objects.list().items() if is_of_run(name)}
        self._remove_gone(there)
        tasks = by_task(there)
        files = [
            name
            for name in tasks.get("", ())
            if not (self._agreement.has_there(name, there[name].version) and self._is_here(name))
        ]
        lacking = {name: own for name, own in tasks.items() if name and self._lacks(name, there)}
        count = len(files) + sum(map(len, lacking.values()))
        if count:
            say(f"{self._objects.url}: fetching {count} of {len(there)} files into {self._root}")
            for name in lacking:
                # Cut short, it is to be fetched again, and not one that is made again here.
                self._agreement.seen.pop(f"{name}/{DONE_NAME}", None)
            self._agreement.write(self._root)
        for name, own in track(lacking.items(), "fetch", len(lacking)):
            self._fetch_task(name, own, there)
        self._objects.get([there[name] for name in files], self._root)
        for name in files:
            self._agree(name, there[name].version)
        self._agreement.write(self._root)

    def push(self, *, begun: bool, closing: bool = False) -> None:
        """Puts what was finished or written here since.

        Args:
            begun: Of tasks that are not finished, too.
            closing: Nobody works here any more: databases too, and what was removed here is
                deleted there.

        Raises:
            RunTaken: Another command has the run, or has finished the same task.
            ObjectError: The storage cannot be written.
            OSError: A file is gone meanwhile.
        """
        tasks = by_task(names_in(self._root))
        files = tasks.pop("", [])
        for name, own in tasks.items():
            done = f"{name}/{DONE_NAME}"
            if done in own:
                if not self._agreement.has_here(done, self._root / done):
                    self._put_task(name, own)
            elif begun and not all(map(self._was_put, own)):
                self._put_task(name, own)
        self._put_files(
            name
            for name in files
            if not self._agreement.has_here(name, self._root / name)
            and (closing or not name.endswith(_DATABASE))
            and not self._is_of_coming_task(name)
        )
        if closing:
            self._delete_removed()

    def _remove_gone(self, there: There) -> None:
        gone = [name for name in self._agreement.seen if name not in there]
        for name in gone:
            path = self._root / name
            if there and self._agreement.has_here(name, path):
                path.unlink()
                folder = name.rpartition("/")[0]
                if path.name == DONE_NAME:
                    for own in by_task(names_in(self._root, folder)).get(folder, ()):
                        (self._root / own).unlink()
            self._agreement.seen.pop(name)

    def _lacks(self, task: str, there: There) -> bool:
        """Whether a task is to be fetched."""
        done, here = f"{task}/{DONE_NAME}", self._root / task
        if done not in there:
            # What was begun here goes on here.
            return not (here / TASK_NAME).exists()
        version = there[done].version
        is_here, is_known = self._is_here(done), self._agreement.has_there(done, version)
        if is_here and not (is_known and self._agreement.has_here(done, here / DONE_NAME)):
            if self._objects.read(done) != (here / DONE_NAME).read_bytes():
                # Where it was not written elsewhere since, it was finished here, and is put next.
                return not is_known
            self._agree(done, version)
        elif is_known and not is_here and (here / TASK_NAME).exists():
            # It is being made again here.
            return False
        return _is_damaged(here)

    def _fetch_task(self, task: str, names: Iterable[str], there: There) -> None:
        """Fetches a task, `DONE` last; what else lies in its folder goes."""
        done, here = f"{task}/{DONE_NAME}", self._root / task
        # Where an earlier command was killed, what it started may still be dying.
        with locked(here, f"task {task}", ORPHAN_SECONDS):
            (here / DONE_NAME).unlink(missing_ok=True)
            sync(here)
            for name in set(by_task(names_in(self._root, task)).get(task, ())) - set(names):
                (self._root / name).unlink()
            self._objects.get([there[name] for name in names if name != done], self._root)
            if done in there:
                self._objects.get([there[done]], self._root)
                if _is_damaged(here):
                    (here / DONE_NAME).unlink()
                    warn(f"{self._objects.url}/{task}: is damaged; has to be made again")
                self._agree(done, there[done].version)

    def _put_task(self, task: str, names: Iterable[str]) -> None:
        """Puts a task, `DONE` last, and only where nobody else has put it."""
        self._check()
        done, first = f"{task}/{DONE_NAME}", f"{task}/{TASK_NAME}"
        there = self._objects.list(task)
        stamp, marker = stamp_of(self._root / done), b""
        if stamp:
            marker = (self._root / done).read_bytes()
        if done in there:
            if not self._agreement.has_there(done, there[done].version):
                self._settle(task, stamp, marker, self._objects.read(done))
                return
            # What it covers is about to be written over.
            self._objects.delete([done])
            self._agreement.seen.pop(done)
        same = self._clear(task, {*by_task(there).get(task, ())} - {done}, {*names})
        changed = [
            name for name in names if name != done and not (name in same and self._was_put(name))
        ]
        # What says whose files these are; then the checkpoint of a training before the log of its
        # steps, which must not be shorter.
        ordered = sorted(changed, key=lambda name: (name != first, name))
        for some in (ordered[:1], ordered[1:]) if stamp else ([name] for name in ordered):
            self._put_now(some)
        if stamp:
            self._settle(task, stamp, marker, self._objects.create(done, marker))

    def _clear(self, task: str, there: set[str], here: set[str]) -> set[str]:
        """Deletes the objects of a task that no file takes the place of; returns those that stay.

        Of what other inputs made nothing stays, a checkpoint least of all.
        """
        first = f"{task}/{TASK_NAME}"
        same = first in there and self._objects.read(first) == (self._root / first).read_bytes()
        kept = there & here if same else set()
        self._delete_task(task, there - kept)
        return kept

    def _delete_task(self, task: str, names: Iterable[str]) -> None:
        """Deletes objects of a task, last what shows that they are of one."""
        gone, first = {*names}, f"{task}/{TASK_NAME}"
        self._objects.delete(gone - {first})
        self._objects.delete(gone & {first})

    def _put_now(self, names: Iterable[str]) -> None:
        files = {name: self._root / name for name in names}
        stamps = {name: stamp_of(path) for name, path in files.items()}
        self._objects.put(files)
        self._put.update(stamps)

    def _settle(self, task: str, stamp: Stamp | None, marker: bytes, there: bytes | None) -> None:
        """Takes note of a `DONE` that stands there now.

        Raises:
            RunTaken: It is another than that here.
        """
        if there != marker:
            raise RunTaken(
                f"{self._objects.url}/{task}: another command finished it meanwhile, and that "
                "counts; give the command again to go on with it"
            )
        done = f"{task}/{DONE_NAME}"
        self._agreement.seen[done] = Seen(stamp, self._objects.version(done) or "")
        self._agreement.write(self._root)

    def _put_files(self, names: Iterable[str]) -> None:
        """Puts files that belong to no task."""
        changed = list(names)
        if not changed:
            return
        self._check()
        self._put_now(changed)
        for name in changed:
            self._agreement.seen[name] = Seen(self._put[name], self._objects.version(name) or "")
        self._agreement.write(self._root)

    def _delete_removed(self) -> None:
        """Deletes there what the stages removed here, such as bundles of other budgets."""
        removed = [name for name in self._agreement.seen if not self._is_here(name)]
        # That somebody has taken the whole copy away is no wish to have the run deleted.
        if not removed or not (self._root / LOCK_NAME).exists():
            return
        self._check()
        for name in removed:
            task, _, last = name.rpartition("/")
            if last == DONE_NAME and (self._root / task / TASK_NAME).exists():
                # It is not finished again yet; what is there goes when something takes its place.
                continue
            own = by_task(self._objects.list(task)).get(task, ()) if last == DONE_NAME else ()
            self._objects.delete([name])
            self._delete_task(task, {*own} - {name})
            self._agreement.seen.pop(name)
        self._agreement.write(self._root)

    def _agree(self, name: str, version: str) -> None:
        self._agreement.seen[name] = Seen(stamp_of(self._root / name), version)

    def _is_here(self, name: str) -> bool:
        return (self._root / name).is_file()

    def _is_of_coming_task(self, name: str) -> bool:
        """Whether a file is the log of a task whose folder is just being prepared."""
        folder = (self._root / name).parent
        return folder != self._root and (folder / LOCK_NAME).exists()

    def _was_put(self, name: str) -> bool:
        return name in self._put and self._put[name] == stamp_of(self._root / name)


def _is_damaged(folder: Path) -> bool:
    """Whether a task's folder does not hold all that a `DONE` of its own covers."""
    try:
        marker = Marker.read(folder)
    except UserError:
        return True
    return marker is None or marker.damaged(folder) is not None
