"""A cluster of Ray's on this machine, its nodes told apart by loopback addresses."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.line import wait_for

_STORE_BYTES = 80 << 20
# A node that is dead is seen to be so within two seconds.
_SETTINGS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}


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
