"""A cluster of Ray's as what jobs run on: each job is a task of Ray's, and a process on some node.

The task runs the job as this machine's own executor would, with its process group, its threads and
its watch over silence; where Ray ends the task, the process ends with it. Every node has this
checkout, the same environment and the folders of the run and the data, at the same paths; of a run
in object storage it has a copy of its own.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

import ray
import ray._private.worker
from ray.exceptions import (
    GetTimeoutError,
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.job_config import JobConfig

from common.messages import is_verbose, say, warn
from common.objects import ObjectError
from common.threads import cores
from runs.config import ExecutorConfig
from runs.errors import RunError
from runs.executor import run_jobs
from runs.handing import Handing
from runs.machines import Capacity, Started
from runs.processes import Job
from runs.remote.handed import Handed
from runs.remote.node import NodeTask
from runs.remote.run import RemoteRun
from runs.remote.tails import Tails

_ROOT = Path(__file__).resolve().parents[1]
# Next to nothing goes through it: all that jobs read and write is in files.
_OBJECT_STORE_BYTES = 80 << 20
# Nodes are counted no more often than that.
_COUNT_SECONDS = 1.0
_CONNECT_SECONDS = 10.0
_TOLD = 128 + signal.SIGTERM
_ADDRESS = re.compile(r"IP: ([^\s,]+)")


def run_here(
    job: Job, silent_seconds: float, python_path: str, handed: Handed | None, news: Any
) -> tuple[int, str]:
    """Runs a job in a process that Ray started on a node; its return code, and what ended it.

    Args:
        job: As it is where it comes from.
        silent_seconds: As in `run_jobs`.
        python_path: For what it imports.
        handed: Set for a run in object storage.
        news: The actor `News`, which hears of it then.
    """
    os.environ["PYTHONPATH"] = python_path

    def tell(tails: Tails) -> None:
        if tails and handed:
            with suppress(RayError):
                ray.get(news.tell.remote(handed.token, tails))

    results = []
    # The task is cancelled by Ctrl-C, which here has told the job to end.
    with (
        suppress(KeyboardInterrupt),
        NodeTask(handed, tell).working(job) if handed else nullcontext(job) as own,
    ):
        results = run_jobs([own], 1, silent_seconds=silent_seconds)
    if not results:
        return _TOLD, "was told to end"
    (result,) = results
    where = f" on node {ray.util.get_node_ip_address()}"
    return result.returncode, result.ending + where


class RayCluster:
    """The nodes of a cluster of Ray's, of which this machine is one.

    Args:
        config: Where it is; it is connected to when the first job is to run.
        run: The run that jobs are of, where that is in object storage; None: it is in a folder that
            all nodes share.
    """

    def __init__(self, config: ExecutorConfig, run: RemoteRun | None = None) -> None:
        self._config = config
        self._handing = Handing(run) if run else None
        self._is_ready = False
        self._counted: tuple[float, Capacity] | None = None

    def prepare(self) -> None:
        """As in `Machines`, and so are the following."""
        if self._is_ready:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = self._config.address or "local"
        own: dict[str, Any] = {
            "num_cpus": cores(),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
        try:
            _check_reachable(address)
            with _sigterm_kept():
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    job_config=JobConfig(_py_driver_sys_path=[str(_ROOT)]),
                    **(own if address == "local" else {}),
                )
        except (OSError, ValueError, RuntimeError, RayError) as error:
            raise RunError(
                f"executor.address: no Ray cluster at {address}: {_first_line(error)}; start one "
                "with ray start --head, and ray start --address=HOST:PORT on the other nodes"
            ) from None
        # Ray prints what befalls its nodes among the results, pages of it.
        ray._private.worker.print_to_stdstream = _say_of_nodes
        if self._handing:
            self._handing.prepare()
        self._is_ready = True

    def capacity(self) -> Capacity:
        now = time.monotonic()
        if self._counted is None or now - self._counted[0] > _COUNT_SECONDS:
            self.prepare()
            there = ray.cluster_resources()
            self._counted = now, Capacity(int(there.get("CPU", 0)), int(there.get("GPU", 0)))
        return self._counted[1]

    def largest(self) -> Capacity:
        self.prepare()
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        found = [(int(own.get("CPU", 0)), int(own.get("GPU", 0))) for own in alive]
        return Capacity(*max(found, default=(0, 0)))

    def start(
        self, job: Job, log: BinaryIO, is_wanted: Callable[[], bool], silent_seconds: float
    ) -> RayTask:
        if not any(_holds(node, job) for node in ray.nodes()):
            gpus = f" and {job.gpus} GPUs" if job.gpus else ""
            warn(f"{job.name}: waits for a node with {job.cpus} cores{gpus}; there is none")
        return RayTask(job, silent_seconds, self._config.retries, self._handing)

    def wait(self, started: Sequence[Started], seconds: float) -> None:
        refs = [one.ref for one in started if isinstance(one, RayTask) and one.ref is not None]
        if refs:
            ray.wait(refs, timeout=seconds)
        elif started:
            time.sleep(seconds)
        if self._handing:
            self._handing.hear()

    def close(self) -> None:
        if self._is_ready:
            ray.shutdown()
            self._is_ready = False


class RayTask:
    """A job as a task of Ray's, which is given again when its node dies.

    Attributes:
        ref: Ray's, of the task as it was given last; None as long as it cannot be given.
    """

    def __init__(
        self, job: Job, silent_seconds: float, retries: int, handing: Handing | None = None
    ) -> None:
        self._job, self._silent_seconds, self._retries = job, silent_seconds, retries
        self._handing = handing
        self._handed: Handed | None = None
        self._lost = 0
        self._told = self._is_back = False
        self._code: int | None = None
        self._ending = ""
        self.ref = self._give()

    def _give(self) -> Any:
        if not self._handing:
            return self._submit(None)
        if self._handed is None:
            self._handed = self._handing.hand_over(self._job)
        given = self._handed and self._handing.give(self._job, self._handed)
        if given is None:
            return None
        self._handed = given
        return self._submit(self._handing.news)

    def _submit(self, news: Any) -> Any:
        python_path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        # It is given again by `poll`, which says so.
        task = ray.remote(max_retries=0)(run_here).options(
            name=self._job.name, num_cpus=self._job.cpus, num_gpus=self._job.gpus
        )
        return task.remote(self._job, self._silent_seconds, python_path, self._handed, news)

    def poll(self) -> int | None:
        """As in `Started`, and so are the following."""
        if self._code is None and self.ref is None:
            if self._told:
                self._code, self._ending = _TOLD, "was told to end"
            else:
                self.ref = self._give()
        elif self._code is None:
            self._look()
        if self._code is None or self._handing is None or self._handed is None or self._is_back:
            return self._code
        # What one that was told to end has begun stays where it is for the next command.
        if self._told and self._code:
            return self._code
        self._is_back = self._handing.take_back(self._handed)
        return self._code if self._is_back or self._told else None

    def _look(self) -> None:
        """Takes note of how the task ended, if it has, or gives it again."""
        try:
            self._code, self._ending = ray.get(self.ref, timeout=0)
        except GetTimeoutError:
            return
        except TaskCancelledError:
            self._code, self._ending = _TOLD, "was told to end"
        except RayTaskError as error:
            if isinstance(error.cause, ObjectError):
                self._give_again(f"could not be done on its node: {error.cause}")
            else:
                self._code = 1
                self._ending = f"could not be run on a node: {_first_line(error.cause)}"
        except (
            LocalRayletDiedError,
            NodeDiedError,
            OutOfMemoryError,
            WorkerCrashedError,
        ) as error:
            self._give_again(_loss(error))
        except RayError as error:
            self._code, self._ending = 1, _loss(error)
            if self._told:
                self._code = -signal.SIGKILL

    def _give_again(self, loss: str) -> None:
        """Of a job that ended with its node, or with Ray's process there."""
        self._ending = loss
        if self._told:
            self._code = -signal.SIGKILL
        elif self._lost == self._retries:
            self._ending += f"; it was tried {_times(self._retries + 1)}"
            self._code = -signal.SIGKILL
        else:
            self._lost += 1
            warn(f"{self._job.name} {loss}; it is tried again ({self._lost}/{self._retries})")
            self.ref = self._give()

    def tell_to_end(self) -> None:
        self._told = True
        if self._code is None and self.ref is not None:
            ray.cancel(self.ref)

    def kill(self) -> None:
        self._told = True
        if self._code is None and self.ref is not None:
            ray.cancel(self.ref, force=True)

    def traces(self) -> object:
        # Its node watches it, and sees there what it reads.
        return object()

    def ending(self, code: int) -> str:
        return self._ending


def _check_reachable(address: str) -> None:
    """Asks at once where Ray would try for minutes.

    Raises:
        OSError: Nobody listens there.
        ValueError: It has no port.
    """
    if address not in ("local", "auto"):
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray would end this process by SIGTERM with a status of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _holds(node: dict[str, Any], job: Job) -> bool:
    there = node["Resources"] if node["Alive"] else {}
    return there.get("CPU", 0) >= job.cpus and there.get("GPU", 0) >= job.gpus


def _loss(error: RayError) -> str:
    found = _ADDRESS.search(str(error))
    node = f"node {found[1]}" if found else "its node"
    if isinstance(error, OutOfMemoryError):
        return f"was ended since {node} has no memory left"
    if isinstance(error, NodeDiedError | LocalRayletDiedError):
        return f"was lost with {node}"
    return f"was lost: {_first_line(error)}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _first_line(error: BaseException | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _say_of_nodes(data: dict[str, Any], ignore_prefix: bool = True) -> None:
    if is_verbose():
        say("\n".join(data["lines"]))
