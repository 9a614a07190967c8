"""What the tests of clusters share: one on this machine, its nodes told apart by addresses."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from runs import Job, Result
from tests.line import wait_for
from training.checkpoint import CHECKPOINT_NAME

_STORE_BYTES = 80 << 20
# A node that is dead is seen to be so within two seconds.
_SETTINGS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}


SLEEPS = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
CHECKPOINTS = (
    "import os, signal, sys, time\n"
    "def end(*_): print('checkpoint', flush=True); sys.exit(143)\n"
    "signal.signal(signal.SIGTERM, end)\nprint(os.getpid(), flush=True)\ntime.sleep(600)"
)


def job(folder: Path, name: str, script: str) -> Job:
    return Job(name, folder / name, (sys.executable, "-c", script))


class SmallCluster:
    """A head that runs no jobs, and nodes of one core; `close` leaves none of their processes.

    Attributes:
        address: of the head, which is the first node.
    """

    def __init__(self, nodes: int) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        self._cluster = Cluster()
        self._nodes: dict[str, Any] = {}
        for _ in range(nodes):
            self.add()
        self.address = self._cluster.address

    def add(self, **settings: Any) -> str:
        """A further node; its address."""
        address = f"127.0.0.{len(self._nodes) + 2}"
        head = {
            "include_dashboard": False,
            "num_cpus": 0,
            "_system_config": _SETTINGS,
        }
        usual: dict[str, Any] = {"num_cpus": 1, **({} if self._nodes else head)}
        self._nodes[address] = self._cluster.add_node(
            node_ip_address=address, object_store_memory=_STORE_BYTES, **usual | settings
        )
        return address

    def add_apart(self, cache: Path, cores: int) -> str:
        """A further node, with access to objects and a folder of caches of its own; its address.

        Jobs that take so many cores are done there, or by others that have them.
        """
        access = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        return self.add(num_cpus=cores, env_vars={**access, "XDG_CACHE_HOME": str(cache)})

    def node_of(self, number: int) -> str:
        """The address of the node below which a process runs."""
        (address,) = (
            address
            for address, node in self._nodes.items()
            if number in {one.pid for one in self._below(node)}
        )
        return address

    def kill_node_of(self, number: int) -> str:
        """Kills the node below which a process runs, with all that runs there; its address."""
        address = self.node_of(number)
        node = self._nodes[address]
        # It could come to its end meanwhile.
        os.kill(number, signal.SIGSTOP)
        for process in self._below(node):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._cluster.remove_node(node, allow_graceful=False)
        return address

    def close(self) -> None:
        own = [one for node in self._nodes.values() for one in self._below(node)]
        head: Any = self._cluster.head_node
        logs = head.get_session_dir_path()
        self._cluster.shutdown()
        psutil.wait_procs(own, timeout=20)
        for process in own:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(logs, ignore_errors=True)

    def _below(self, node: Any) -> list[psutil.Process]:
        """The raylet of a node and what it started, and what that started."""
        found = []
        for info in node.all_processes.get("raylet", []):
            with suppress(psutil.NoSuchProcess):
                raylet = psutil.Process(info.process.pid)
                found += [raylet, *raylet.children(recursive=True)]
        return found


def number_in(path: Path) -> int:
    """The number that is written into a file, as soon as it is."""
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def ended_without_its_node(
    process: subprocess.Popen[str],
    cluster: SmallCluster,
    find: Callable[[str], Path | None],
    join: Callable[[], object],
) -> tuple[str, str]:
    """Has the node of a training die behind its first checkpoint; what the run says to its end.

    Args:
        process: The run.
        cluster: Where it has its nodes.
        find: The file of a name below the run's folder, as soon as there is one.
        join: Adds another node.
    """
    task = "teachers/plain"
    try:
        assert wait_for(lambda: find(f"{task}/{CHECKPOINT_NAME}"), process), process.communicate()
        lock = find(f"{task}/LOCK")
        assert lock is not None
        killed = cluster.kill_node_of(number_in(lock))
        join()
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert f"{task} was lost with node {killed}; it is tried again (1/3)" in err.splitlines()
    return out, err


class OneUnwanted:
    """One job that is wanted no more as soon as it has said something."""

    def __init__(self, job: Job) -> None:
        self._job, self._jobs = job, [job]
        self.results: list[Result] = []

    def take(self) -> Job | None:
        return self._jobs.pop() if self._jobs else None

    def next_like(self) -> Job | None:
        return self._job

    def is_exhausted(self) -> bool:
        return not self._jobs

    def ended(self, result: Result) -> None:
        self.results.append(result)

    def is_wanted(self, job: Job) -> bool:
        return (job.folder / "log.txt").stat().st_size == 0


@contextmanager
def interrupted_when_all_run(jobs: list[Job]) -> Iterator[None]:
    """Sends this process Ctrl-C as soon as each of the jobs has said something."""

    def interrupt() -> None:
        for one in jobs:
            number_in(one.folder / "log.txt")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def gone(folder: Path) -> None:
    """Waits until the process is gone whose number is the first line of a log."""
    number = (folder / "log.txt").read_text().split()[0]
    wait_for(lambda: not Path(f"/proc/{number}").exists())
