"""Where a run's jobs run, and what each takes there."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import torch

from common.errors import ConfigError
from runs import Job as Process
from runs import LocalMachine, Machines, Run, Task
from runs.local import VISIBLE_DEVICES
from stages.config import Config
from stages.job import Job, paths_in, run_folder
from stages.jobs import Training


def machines_of(config: Config, run: Run) -> Machines:
    """What `executor` names; a cluster is connected to when the first job is to run.

    Args:
        config: Names it.
        run: Whose jobs these are.

    Raises:
        ConfigError: it needs a package that is not installed.
    """
    if config.executor.kind == "local":
        return LocalMachine(() if config.device == "cpu" else _devices())
    if find_spec("ray") is None:
        raise ConfigError("executor: needs a package: pip install -e '.[ray]'")
    # It takes a second, and is an extra.
    from runs.ray import RayCluster
    from runs.remote.run import RemoteRun

    return RayCluster(config.executor, run if isinstance(run, RemoteRun) else None)


def process_of(job: Job, task: Task, machines: Machines) -> Process:
    """The process that does a job."""
    folder, needs = task.folder.resolve(), job.needs
    command = (sys.executable, "-m", "stages.worker", str(folder))
    gpus = needs.resources.gpus
    if gpus is None:
        devices = job.train.devices if isinstance(job, Training) else 1
        gpus = devices if needs.device != "cpu" and machines.capacity().gpus else 0
    root = run_folder(folder, task.name)
    reads = tuple(path for path in paths_in(job) if path.is_relative_to(root))
    threads, cpus = job.thread_count(), needs.resources.cpus
    return Process(task.name, folder, command, threads, cpus, gpus, reads)


def _devices() -> list[str]:
    """The GPUs that this process may use, as the variable names them that says so."""
    named = os.environ.get(VISIBLE_DEVICES)
    found = torch.cuda.device_count()
    return [str(n) for n in range(found)] if named is None else named.split(",")[:found]
