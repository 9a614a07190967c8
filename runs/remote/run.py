"""A run whose folder is in object storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.interrupts import unwound_by_sigterm
from runs.remote.agreement import Agreement
from runs.remote.folder import ObjectFolder
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
    """

    def __init__(self, url: str, root: Path) -> None:
        super().__init__(root)
        self.url = url
        self._uploads: Uploads | None = None

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
                try:
                    with Uploads(copy, self.url) as self._uploads:
                        yield
                finally:
                    self._uploads = None

    def publish(self) -> None:
        """As in `Run`.

        Raises:
            RunTaken: Another command has the run.
        """
        if self._uploads:
            self._uploads.wake()
