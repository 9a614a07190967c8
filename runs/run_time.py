"""How the time that a command may take is divided over the jobs that are left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from common.units import parse_seconds
from runs.checksums import read_checked_json, write_checked_json
from runs.processes import Job

_SHARE_NAME = "share.json"
# What is left of the time is divided but for this: trainings are followed by predictions, soft
# targets, and the choice of what is packed.
_AFTERWARDS = 0.15


class RunTime:
    """Counts from its creation on.

    Args:
        seconds: That the command may take.
        clock: Seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    @classmethod
    def of(cls, limit: str | None) -> RunTime | None:
        """The time of a command by its key `time_limit`; None: it may take any.

        Raises:
            UserError: It is no time.
        """
        return None if limit is None else cls(parse_seconds(limit, "time_limit"))

    def now(self) -> float:
        """Seconds of the clock."""
        return self._clock()

    def share(self, jobs: int, at_once: int) -> float:
        """Seconds for one of so many jobs that run or are left, some of them at once.

        Those that need less than an equal share leave the rest to those that begin later.
        """
        usable = max(0.0, self._end - self.now()) * (1 - _AFTERWARDS)
        return usable / math.ceil(jobs / at_once)


class TimeSharing:
    """Gives each job its share of the time when it begins.

    Args:
        time: What the command may take; None: nothing is shared.
        left: The tasks that are left, those of later jobs too.
        at_once: How many of them run at once.
    """

    def __init__(self, time: RunTime | None, left: Iterable[str], at_once: int) -> None:
        self._time, self._left, self._at_once = time, set(left), at_once
        self._ends: list[float] = []

    def begin(self, job: Job) -> None:
        """Is told what begins; writes its share into its folder."""
        if self._time is None:
            return
        now = self._time.now()
        # Those that began before may still run, but for one whose place this takes.
        beside = min(sum(end > now for end in self._ends), self._at_once - 1)
        share = self._time.share(len(self._left | {job.name}) + beside, self._at_once)
        write_checked_json(job.folder / _SHARE_NAME, {"seconds": share})
        self._left.discard(job.name)
        self._ends.append(now + share)


def read_share(folder: Path) -> float:
    """How many seconds a job may take from its beginning on.

    Raises:
        UserError: The file is missing or damaged.
    """
    return float(read_checked_json(folder / _SHARE_NAME)["seconds"])
