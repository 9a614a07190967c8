"""Tasks of a run in object storage, handed to the nodes of a cluster of Ray's and taken back."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from common.messages import warn
from common.objects import ObjectError
from runs.processes import Job
from runs.remote.handed import Handed
from runs.remote.run import RemoteRun
from runs.remote.tails import Tails, write_tails

# A storage that does not answer is asked again after that.
_PAUSE_SECONDS = 10.0
_HEAR_SECONDS = 1.0
T = TypeVar("T")


class News:
    """Hears on this machine what nodes tell of logs, until it is asked."""

    def __init__(self) -> None:
        self._told: list[tuple[str, Tails]] = []

    def tell(self, token: str, tails: Tails) -> None:
        """What is new of a task that was handed over so."""
        self._told.append((token, tails))

    def take(self) -> list[tuple[str, Tails]]:
        """What was told since it was last asked."""
        told, self._told = self._told, []
        return told


class Handing:
    """Hands tasks to nodes; what nodes tell of them is written into their folders here.

    While the storage does not answer, work goes on where it can.

    Args:
        run: The run in object storage, which is locked as long as jobs run.
    """

    def __init__(self, run: RemoteRun) -> None:
        self._run = run
        self._resumes, self._is_warned = 0.0, False
        self._folders: dict[str, Path] = {}
        self.news: Any = None
        self._asked: Any = None
        self._heard = 0.0

    def prepare(self) -> None:
        """Makes ready to hear of tasks, once the cluster is there."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.news = ray.remote(num_cpus=0)(News).options(scheduling_strategy=here).remote()
        self._asked = self.news.take.remote()

    def hand_over(self, job: Job) -> Handed | None:
        """Puts a job's task where nodes get it; None: not now, it is to be tried again."""
        return self._answer(lambda: self._run.hand_over(job))

    def give(self, job: Job, handed: Handed) -> Handed | None:
        """Gives what was handed over to a node, which none had or another has lost; or None."""
        given = self._answer(lambda: self._run.give(handed))
        if given is not None:
            self._folders.pop(handed.token, None)
            self._folders[given.token] = job.folder
        return given

    def take_back(self, handed: Handed) -> bool:
        """Fetches what became of a task; False: not now."""
        self.hear(at_once=True)

        def take_back() -> bool:
            self._run.take_back(handed)
            return True

        if not self._answer(take_back):
            return False
        self._folders.pop(handed.token, None)
        return True

    def hear(self, *, at_once: bool = False) -> None:
        """Writes down what nodes have told since, now and then or at once."""
        if not at_once and time.monotonic() - self._heard < _HEAR_SECONDS:
            return
        with suppress(RayError):
            if not at_once and not ray.wait([self._asked], timeout=0)[0]:
                return
            self._heard = time.monotonic()
            told = ray.get(self._asked)
            self._asked = self.news.take.remote()
            if at_once:
                told += ray.get(self._asked)
                self._asked = self.news.take.remote()
            for token, tails in told:
                if token in self._folders:
                    write_tails(self._folders[token], tails)

    def _answer(self, request: Callable[[], T]) -> T | None:
        """What the storage answers; None where it does not."""
        if time.monotonic() < self._resumes:
            return None
        try:
            found = request()
        except (ObjectError, OSError) as error:
            if not self._is_warned:
                warn(f"{error}; it is tried again")
            self._is_warned, self._resumes = True, time.monotonic() + _PAUSE_SECONDS
            return None
        self._is_warned = False
        return found
