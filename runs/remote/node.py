"""A task of a run in object storage on a node of a cluster, which has a copy of what it needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from common.errors import UserError
from common.objects import ObjectError
from runs.marker import DONE_NAME
from runs.processes import Job
from runs.progress import append_log
from runs.remote import uploads
from runs.remote.agreement import Agreement, Seen
from runs.remote.folder import ObjectFolder
from runs.remote.handed import Handed
from runs.remote.lease import RunTaken
from runs.remote.names import by_task, names_in
from runs.remote.tails import Growing, Tails
from runs.remote.transfer import There, Transfer, is_damaged
from runs.store import locked

_TELL_SECONDS = 1.0
# Hours of work are not given up since a storage does not answer for a while.
_PUTS, _PUT_PAUSE = 20, 30.0


class NodeTask:
    """A task that was handed to this node.

    Tasks of one node share its copy: what they read is fetched once, by one after the other. Of the
    run a node writes nothing but the task's own folder.

    Args:
        handed: What it was told.
        tell: Is told what is new in the task's log and the like.
    """

    def __init__(self, handed: Handed, tell: Callable[[Tails], None]) -> None:
        self._handed, self._tell = handed, tell
        self._root, self._objects = handed.node_root, ObjectFolder(handed.url)
        self._transfer = Transfer(self._root, self._objects)
        self._folder = self._root / handed.task
        self._growing = Growing(self._folder)
        self._ended = threading.Event()

    @contextmanager
    def working(self, job: Job) -> Iterator[Job]:
        """The job as it is to be run here; what it has made is put when that has ended.

        Raises:
            ObjectError: The storage cannot be read or written.
            RunTaken: The task, or the run, is another's.
        """
        self._fetch()
        thread = threading.Thread(target=self._go_on_telling, daemon=True)
        thread.start()
        own = str(job.folder), str(self._folder)
        command = tuple(own[1] if part == own[0] else part for part in job.command)
        try:
            yield replace(job, folder=self._folder, command=command)
        finally:
            self._ended.set()
            thread.join()
            self._tell(self._growing.news())
            self._put_at_last()

    def _fetch(self) -> None:
        """Fetches what the task reads, and what was done of it before."""
        # For as long as another process fetches.
        with locked(self._root, f"{self._root}", timeout=-1):
            agreement = Agreement.read(self._root)
            for name in self._handed.reads:
                self._fetch_read(name, agreement)
            agreement.write(self._root)
        task = self._handed.task
        there = self._transfer.there(task)
        if f"{task}/{DONE_NAME}" in there or not self._was_finished(there):
            self._transfer.fetch_task(task, by_task(there)[task], there)

    def _fetch_read(self, below: str, agreement: Agreement) -> None:
        there = self._transfer.there(below)
        tasks = by_task(there)
        lacking = []
        for name in tasks.pop("", []):
            # A node may have made it anew, as the index of shards that look different there.
            if not (
                agreement.has_there(name, there[name].version) and (self._root / name).exists()
            ):
                lacking.append(name)
                agreement.seen[name] = Seen(None, there[name].version)
        self._objects.get([there[name] for name in lacking], self._root)
        for name, own in tasks.items():
            if not self._has(name):
                self._transfer.fetch_task(name, own, there)

    def _has(self, task: str) -> bool:
        """Whether a finished task is here as it is there."""
        done = f"{task}/{DONE_NAME}"
        is_same = self._read(done) == self._objects.read(done)
        return is_same and not is_damaged(self._root / task)

    def _was_finished(self, there: There) -> bool:
        """Whether the task was finished here, of the same inputs and code, but not put."""
        if is_damaged(self._folder):
            return False
        told = (name for name in there if name.endswith(".json"))
        return all(self._read(name) == self._objects.read(name) for name in told)

    def _read(self, name: str) -> bytes | None:
        path = self._root / name
        return path.read_bytes() if path.is_file() else None

    def _go_on_telling(self) -> None:
        """Tells what is new, and puts what is begun now and then."""
        last = time.monotonic()
        while not self._ended.wait(min(_TELL_SECONDS, uploads.BEGUN_SECONDS)):
            self._tell(self._growing.news())
            if time.monotonic() - last < uploads.BEGUN_SECONDS:
                continue
            last = time.monotonic()
            try:
                self._put()
            except RunTaken as taken:
                append_log(self._folder, str(taken))
                return
            except FileNotFoundError:
                # Of files that come and go one is gone; the others are put next time.
                continue
            except (UserError, OSError) as error:
                append_log(self._folder, f"{error}; it is put later")

    def _put_at_last(self) -> None:
        for _ in range(_PUTS):
            try:
                self._put()
                return
            except ObjectError as error:
                if not (self._folder / DONE_NAME).exists():
                    raise
                append_log(self._folder, f"{error}; it is put again")
                self._tell(self._growing.news())
            time.sleep(_PUT_PAUSE)
        self._put()

    def _put(self) -> None:
        """Puts what there is of the task, unless it was finished before: the first one counts."""
        self._handed.check()
        task = self._handed.task
        done, there = f"{task}/{DONE_NAME}", self._transfer.there(task)
        if done in there:
            return
        names = by_task(names_in(self._root, task)).get(task, [])
        marker = (self._root / done).read_bytes() if done in names else None
        self._transfer.put_task(task, names, there, marker)
