"""Where jobs come from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

from runs.failures import Result
from runs.processes import Job


class JobSource(Protocol):
    """Where jobs come from that are thought of while others run."""

    def take(self) -> Job | None:
        """The next job; None: there is none now, and it is asked again soon.

        Its name and its folder are of no other job that runs.
        """

    def next_like(self) -> Job | None:
        """A job that takes as much as the next; None: there is none."""

    def is_exhausted(self) -> bool:
        """Whether there will be no further job, unless one that runs leads to it."""

    def ended(self, result: Result) -> None:
        """Is told how a job ended, unless that was with this process."""

    def is_wanted(self, job: Job) -> bool:
        """Whether a job that runs is to go on; asked again and again, so it has to be quick."""


class Listed:
    """Jobs that are known beforehand.

    Attributes:
        results: Of those that have ended, by name.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = deque(jobs)
        self.results: dict[str, Result] = {}

    def take(self) -> Job | None:
        """As in `JobSource`, and so are the following."""
        return self._jobs.popleft() if self._jobs else None

    def next_like(self) -> Job | None:
        return self._jobs[0] if self._jobs else None

    def is_exhausted(self) -> bool:
        return not self._jobs

    def ended(self, result: Result) -> None:
        self.results[result.name] = result

    def is_wanted(self, job: Job) -> bool:
        return True
