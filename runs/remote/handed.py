"""What a node of a cluster is told of a task of a run in object storage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.files import user_cache
from runs.remote.folder import ObjectFolder
from runs.remote.lease import RunTaken, check_lease
from runs.remote.names import GIVEN_NAME


@dataclass(frozen=True)
class Handed:
    """A task that was handed over, and by whom.

    Attributes:
        url: The run's.
        copies: Where nodes have their copies; None: with the user's caches there.
        task: The task's name.
        reads: Names of what it reads: of other tasks, and of folders that are of no task.
        lease: Number of the lease under which it is written.
        token: Tells the node that has it from those that had it before.
    """

    url: str
    copies: Path | None
    task: str
    reads: tuple[str, ...]
    lease: int
    token: str = ""

    @property
    def node_root(self) -> Path:
        """The run's folder on the node that asks."""
        copies = self.copies or user_cache("nodes")
        return copies / self.url.replace("://", "/")

    def say(self) -> None:
        """Has it known that whoever had the task before has it no more.

        Raises:
            ObjectError: The storage cannot be written.
        """
        ObjectFolder(self.url).write(f"{self.task}/{GIVEN_NAME}", self.token.encode())

    def check(self) -> None:
        """Raises `RunTaken` where the task, or the run, is another's by now."""
        objects = ObjectFolder(self.url)
        check_lease(objects, self.lease)
        if objects.read(f"{self.task}/{GIVEN_NAME}") != self.token.encode():
            raise RunTaken(f"{self.url}/{self.task}: was given to another node meanwhile")
