"""The machine that this process runs on, each job a process of its own."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from common.threads import cores
from runs.failures import describe_exit
from runs.forks import Forked, wait_for_news
from runs.machines import Capacity, Started
from runs.processes import Job, kill_group, start_process, tell_to_end
from runs.traces import traces_of

# Which GPUs a process sees.
VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class LocalProcess:
    """A job's process.

    Attributes:
        process: The leader of a group of its own.
        folder: The job's.
        devices: The GPUs that it sees.
    """

    process: subprocess.Popen[bytes] | Forked
    folder: Path
    devices: tuple[str, ...]

    def poll(self) -> int | None:
        """As in `Started`, and so are the following."""
        return self.process.poll()

    def tell_to_end(self) -> None:
        tell_to_end(self.process)

    def kill(self) -> None:
        kill_group(self.process)

    def traces(self) -> object:
        return traces_of(self.folder, self.process.pid)

    def ending(self, code: int) -> str:
        return describe_exit(code)


class LocalMachine:
    """This machine.

    Args:
        devices: The GPUs by which jobs are spread, as `CUDA_VISIBLE_DEVICES` names them; where
            there are none, a job sees what this process sees.
    """

    def __init__(self, devices: Sequence[str] = ()) -> None:
        self._devices = tuple(devices)
        self._started: list[LocalProcess] = []

    def prepare(self) -> None:
        """As in `Machines`, and so are the following."""

    def capacity(self) -> Capacity:
        return Capacity(cores(), len(self._devices))

    def largest(self) -> Capacity:
        return self.capacity()

    def start(
        self, job: Job, log: BinaryIO, is_wanted: Callable[[], bool], silent_seconds: float
    ) -> LocalProcess:
        devices = self._least_busy(job.gpus)
        variables = {VISIBLE_DEVICES: ",".join(devices)} if devices else {}
        process = start_process(job, log, is_wanted, variables)
        started = LocalProcess(process, job.folder, devices)
        self._started.append(started)
        return started

    def _least_busy(self, count: int) -> tuple[str, ...]:
        """So many GPUs, those first on which the fewest jobs run."""
        self._started = [one for one in self._started if one.poll() is None]
        jobs = Counter(device for one in self._started for device in one.devices)
        return tuple(sorted(self._devices, key=lambda device: jobs[device])[:count])

    def wait(self, started: Sequence[Started], seconds: float) -> None:
        own = [one.process for one in started if isinstance(one, LocalProcess)]
        wait_for_news(own, seconds)

    def close(self) -> None:
        """Nothing was made ready."""
