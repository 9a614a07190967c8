"""What jobs run on: this machine, or many; the executor knows no more of them than this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from runs.processes import Job


@dataclass(frozen=True)
class Capacity:
    """Cores and GPUs that there are."""

    cpus: int
    gpus: int = 0

    def holds(self, jobs: Iterable[Job]) -> bool:
        """Whether there is enough for these at once; GPUs count where there are any."""
        taken = [(job.cpus, job.gpus) for job in jobs]
        cpus, gpus = sum(cpus for cpus, _ in taken), sum(gpus for _, gpus in taken)
        return cpus <= self.cpus and (gpus <= self.gpus or not self.gpus)

    def times(self, cpus: int, gpus: int) -> int:
        """How many jobs that take so much it holds at once; one runs whatever it takes."""
        counts = [self.cpus // cpus, *([self.gpus // gpus] if gpus and self.gpus else [])]
        return max(1, min(counts))


class Started(Protocol):
    """A job that was started."""

    def poll(self) -> int | None:
        """The return code, minus a signal's number if a signal ended it; None while it runs."""

    def tell_to_end(self) -> None:
        """Asks it to end; a training writes a checkpoint first."""

    def kill(self) -> None:
        """Kills it, if it still runs, and whatever it left in its process group."""

    def traces(self) -> object:
        """What changes as long as it does something; equal as long as it does not."""

    def ending(self, code: int) -> str:
        """What ended it, in words."""


class Machines(Protocol):
    """Where jobs run."""

    def prepare(self) -> None:
        """Makes ready to start jobs; called before each batch, outside of any handling of signals.

        Raises:
            RunError: They cannot be reached.
        """

    def capacity(self) -> Capacity:
        """What there is now, taken or not; machines may come and go."""

    def largest(self) -> Capacity:
        """What the one with the most cores has, taken or not."""

    def start(
        self, job: Job, log: BinaryIO, is_wanted: Callable[[], bool], silent_seconds: float
    ) -> Started:
        """Starts a job.

        Args:
            job: Its folder is there.
            log: What it appends to, `log.txt` of its folder.
            is_wanted: Asked while it takes long.
            silent_seconds: After which a job that does nothing is to be ended; also the executor
                does that, by `Started.traces`.

        Raises:
            InterruptedError: It is wanted no more, and was not started.
            OSError: It cannot be started.
        """

    def wait(self, started: Sequence[Started], seconds: float) -> None:
        """Until one of them may have ended, or so much time has passed, or none is left."""

    def close(self) -> None:
        """Gives back what was made ready."""
