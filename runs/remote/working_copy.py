"""The copy of a run on this machine: what is fetched into it, and what of it is put."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from common.messages import say
from runs.marker import DONE_NAME
from runs.progress import track
from runs.remote.agreement import Agreement, Seen, Stamp, stamp_of
from runs.remote.folder import ObjectFolder
from runs.remote.lease import RunTaken
from runs.remote.names import GIVEN_NAME, by_task, names_in
from runs.remote.transfer import There, Transfer, is_damaged
from runs.store import LOCK_NAME, LOG_NAME, TASK_NAME

# May be half written as long as a command works with it.
_DATABASE = ".db"


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
        self._transfer = Transfer(root, objects)
        self._handed: set[str] = set()
        # Of threads: one puts what was finished while another hands on what is to be done.
        self._turn = threading.RLock()

    def pull(self) -> None:
        """Fetches what is not here, or was written elsewhere since; what is newer here stays.

        What was removed there is removed here; where nothing is there any more, all is put again.

        Raises:
            ObjectError: The storage cannot be read.
        """
        there = self._transfer.there()
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
        with self._turn:
            self._push(begun, closing)

    def hand_over(self, task: str) -> None:
        """Puts all that is done, and a task that was prepared.

        That is then a task of object storage alone, which is fetched from there whatever becomes of
        this command.

        Raises:
            RunTaken: Another command has the run, or has finished the same task.
            ObjectError: The storage cannot be written; the task is here as it was.
        """
        with self._turn:
            self._push(begun=False, closing=False)
            own, first = by_task(names_in(self._root, task))[task], f"{task}/{TASK_NAME}"
            self._put_task(task, own)
            self._handed.add(task)
            # What an executor has open stays, as it does when a task is prepared.
            for name in sorted({*own} - {f"{task}/{LOG_NAME}"}, key=lambda name: name != first):
                (self._root / name).unlink()

    def take_back(self, task: str) -> None:
        """Fetches a task that was handed over, done or not.

        Raises:
            ObjectError: The storage cannot be read.
        """
        log = self._root / task / LOG_NAME
        with self._turn:
            there = self._transfer.there(task)
            told = log.read_bytes() if log.exists() else b""
            self._fetch_task(task, by_task(there).get(task, ()), there)
            put = stamp_of(log)
            if f"{task}/{DONE_NAME}" not in there and len(told) > (put[0] if put else 0):
                # A node that was lost has told more than it has put.
                log.write_bytes(told)
            self._objects.delete([f"{task}/{GIVEN_NAME}"])
            self._agreement.write(self._root)

    def _push(self, begun: bool, closing: bool) -> None:
        tasks = by_task(names_in(self._root))
        files = tasks.pop("", [])
        for name, own in tasks.items():
            done = f"{name}/{DONE_NAME}"
            if done in own:
                if not self._agreement.has_here(done, self._root / done):
                    self._put_task(name, own)
            elif begun and not all(map(self._transfer.is_same, own)):
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
        return is_damaged(here)

    def _fetch_task(self, task: str, names: Iterable[str], there: There) -> None:
        self._transfer.fetch_task(task, names, there)
        done = f"{task}/{DONE_NAME}"
        if done in there:
            self._agree(done, there[done].version)

    def _put_task(self, task: str, names: Sequence[str]) -> None:
        """Puts a task, `DONE` last, and only where nobody else has put it."""
        self._check()
        done, there = f"{task}/{DONE_NAME}", self._objects.list(task)
        stamp, marker = None, None
        # One that came to be finished after it was looked at has further files: it is put next.
        if done in names:
            stamp, marker = stamp_of(self._root / done), (self._root / done).read_bytes()
        if done in there:
            if not self._agreement.has_there(done, there[done].version):
                self._settle(task, stamp, marker, self._objects.read(done))
                return
            # What it covers is about to be written over.
            self._objects.delete([done])
            self._agreement.seen.pop(done)
            there.pop(done)
        stands = self._transfer.put_task(task, names, there, marker)
        if stands is not None:
            self._settle(task, stamp, marker, stands)

    def _settle(
        self, task: str, stamp: Stamp | None, marker: bytes | None, there: bytes | None
    ) -> None:
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
        self._transfer.put(changed)
        for name in changed:
            stamp = self._transfer.stamp(name)
            self._agreement.seen[name] = Seen(stamp, self._objects.version(name) or "")
        self._agreement.write(self._root)

    def _delete_removed(self) -> None:
        """Deletes there what the stages removed here, such as bundles of other budgets."""
        removed = [name for name in self._agreement.seen if not self._is_here(name)]
        unwanted = [task for task in self._handed if not (self._root / task).exists()]
        # That somebody has taken the whole copy away is no wish to have the run deleted.
        if not (removed or unwanted) or not (self._root / LOCK_NAME).exists():
            return
        self._check()
        for task in unwanted:
            self._transfer.delete_task(task, self._objects.list(task))
        for name in removed:
            task, _, last = name.rpartition("/")
            if last == DONE_NAME and (self._root / task / TASK_NAME).exists():
                # It is not finished again yet; what is there goes when something takes its place.
                continue
            own = by_task(self._objects.list(task)).get(task, ()) if last == DONE_NAME else ()
            self._objects.delete([name])
            self._transfer.delete_task(task, {*own} - {name})
            self._agreement.seen.pop(name)
        self._agreement.write(self._root)

    def _agree(self, name: str, version: str) -> None:
        self._agreement.seen[name] = Seen(stamp_of(self._root / name), version)

    def _is_here(self, name: str) -> bool:
        return (self._root / name).is_file()

    def _is_of_coming_task(self, name: str) -> bool:
        """Whether a file is the log of a task that is just being prepared, or was handed over."""
        folder = (self._root / name).parent
        return folder != self._root and (folder / LOCK_NAME).exists()
