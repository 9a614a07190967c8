"""A training in several processes, a rank each, on a device each."""

import sys
from pathlib import Path

import torch
from setproctitle import setproctitle

from common.errors import ConfigError
from runs import Task, append_log
from stages.endings import Ended, ending_of
from stages.job_files import read_job
from stages.jobs import Training
from stages.training_work import train
from training.device import choose_device
from training.launch import RanksFailed, launch
from training.ranks import OtherRankFailed, joined
from training.stop import Interrupted


def train_together(job: Training, task: Task) -> None:
    """Does a training on as many devices as it asks for, in a process each.

    Raises:
        ConfigError: there are not so many GPUs.
        Ended: a rank failed.
        Interrupted: on SIGTERM, after a checkpoint.
    """
    devices = job.train.devices
    if choose_device(job.setting.device).type == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(
            f"train.devices: {devices} were asked for, and torch sees {torch.cuda.device_count()} "
            "GPUs; give no more, or device=cpu"
        )
    try:
        endings = launch(do_rank, task.folder, ranks=devices, threads=job.train.threads)
    except RanksFailed as failed:
        raise Ended(1, str(failed)) from None
    status, said = max(endings)
    if status:
        raise Ended(status, said)


def do_rank(folder: Path) -> tuple[int, str]:
    """The part of one rank in the training of a task's folder; how it ended, as in `ending_of`."""
    try:
        return ending_of(lambda: _train(folder))
    except OtherRankFailed:
        return 0, ""


def _train(folder: Path) -> None:
    job = read_job(folder)
    assert isinstance(job, Training)
    ranks = joined(choose_device(job.setting.device))
    setproctitle(f"{sys.executable} -m stages.worker {folder} rank {ranks.rank}")
    if ranks.leads and ranks.restarts:
        append_log(folder, f"a rank ended; all begin again, for the {ranks.restarts}. time")
    try:
        train(job, Task(job.task, folder, job.inputs()), ranks)
    except Interrupted:
        # What the agent ended it does not wait for a result of.
        sys.exit(143)
