"""A run whose folder is in object storage."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from common.interrupts import unwound_by_sigterm
from runs.marker import DONE_NAME
from runs.processes import Job
from runs.remote.agreement import Agreement
from runs.remote.folder import ObjectFolder
from runs.remote.handed import Handed
from runs.remote.lease import Lease
from runs.remote.uploads import Uploads
from runs.remote.working_copy import WorkingCopy
from runs.store import Run


class RemoteRun(Run):
    """A run below a URL, worked on in a copy on this machine.

    While it is locked, the copy has what the storage has, and the storage gets what is finished.

    Args:
        url: The run's, such as `s3://bucket/runs/demo`.
        root: The folder of the copy.
        nodes: The folder below which the nodes of a cluster have theirs, on each a folder of its
            own; None: with the user's caches there.
    """

    def __init__(self, url: str, root: Path, nodes: Path | None = None) -> None:
        super().__init__(root)
        self.url, self._nodes = url, nodes
        self._uploads: Uploads | None = None
        self._held: tuple[WorkingCopy, Lease] | None = None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the copy and the run in the storage.

        Raises:
            RunError: On entering, when another command holds one of them; on leaving, when what is
                done could not be put.
            ObjectError: On entering, when the storage cannot be used.
        """
        with super().lock():
            objects, agreement = ObjectFolder(self.url), Agreement.read(self.root)
            # Before the lease names the copy.
            agreement.write(self.root)
            lease = Lease(objects, agreement.copy)
            copy = WorkingCopy(self.root, objects, agreement, lease.check)
            with unwound_by_sigterm(), lease.held():
                copy.pull()
                self._held = copy, lease
                try:
                    with Uploads(copy, self.url) as self._uploads:
                        yield
                finally:
                    self._uploads = self._held = None

    def publish(self) -> None:
        """As in `Run`.

        Raises:
            RunTaken: Another command has the run.
        """
        if self._uploads:
            self._uploads.wake()

    def hand_over(self, job: Job) -> Handed:
        """Hands over the task of a job, which is to be given to a node; all that is done is there.

        Raises:
            RunTaken: Another command has the run.
            ObjectError: The storage cannot be written; it may be tried again.
        """
        copy, lease = self._holding()
        root = self.root.resolve()
        task = job.folder.relative_to(root).as_posix()
        reads = tuple(sorted({self._name_of(path.relative_to(root)) for path in job.reads}))
        copy.hand_over(task)
        return Handed(self.url, self._nodes, task, reads, lease.number)

    def give(self, handed: Handed) -> Handed:
        """The same for one node: from now on none that had it before writes any more.

        Raises:
            ObjectError: The storage cannot be written.
        """
        given = replace(handed, token=secrets.token_hex(8))
        given.say()
        return given

    def take_back(self, handed: Handed) -> None:
        """Fetches what a node has made of a task, done or not.

        Raises:
            ObjectError: The storage cannot be read.
        """
        copy, _ = self._holding()
        copy.take_back(handed.task)

    def _holding(self) -> tuple[WorkingCopy, Lease]:
        assert self._held is not None, "tasks are handed over while the run is locked"
        return self._held

    def _name_of(self, path: Path) -> str:
        """The task that a path is of; of no task, the path itself."""
        tasks = (own for own in (path, *path.parents) if (self.root / own / DONE_NAME).exists())
        return next(tasks, path).as_posix()
