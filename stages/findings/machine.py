"""What a run costs: how fast its models predict, and on what machine that was seen."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from common.threads import cores
from common.units import format_bytes
from records import Batch, iterate_batches
from runs import Task, track
from stages.execute import Tasks
from stages.findings.models import Model
from stages.job_files import read_job
from stages.jobs import WEIGHTS_NAME, ModelJob
from stages.training_work import build_model
from stages.workspace import Workspace
from training.device import choose_device

# Enough for a figure, and a second or so of a large model.
TIMED_CLIPS = 128
_REPEATS = 2


def prediction_speeds(workspace: Workspace, models: Mapping[str, Model]) -> dict[str, float]:
    """Clips a second that finished models predict on one thread or a GPU; each timed once."""
    split = workspace.data.open("report")
    split = split.select(np.arange(min(TIMED_CLIPS, len(split))))
    done = {name: model for name, model in models.items() if model.marker}
    batches: list[Batch] = []

    def speed(name: str, model: Model) -> float:
        def work(task: Task) -> tuple[list[str], Any]:
            if not batches:
                batches.extend(iterate_batches(split, TIMED_CLIPS))
            return [], {"clips_per_second": _clips_per_second(model, batches[0])}

        inputs = {
            "trained": model.marker.digest if model.marker else None,
            "clips": [split.fingerprint, TIMED_CLIPS],
            "device": workspace.config.device,
        }
        task = Tasks(workspace).of_work(f"report/speed/{name}", inputs, work)
        return float(task.summary()["clips_per_second"])

    return {name: speed(name, model) for name, model in track(done.items(), "speed", len(done))}


@torch.inference_mode()
def _clips_per_second(trained: Model, batch: Batch) -> float:
    """The best of a few runs: what else the machine does only makes it slower."""
    job = read_job(trained.folder)
    assert isinstance(job, ModelJob)
    model = build_model(job.setting).eval()
    assert trained.marker is not None
    model.load_state_dict(load_file(trained.marker.file(trained.folder, WEIGHTS_NAME)))
    batch = batch.to(choose_device(job.setting.device))
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        # To read a value waits for the device.
        model(batch.features, batch.mask).sum().item()
        seconds.append(time.perf_counter() - began)
    return round(len(batch.ids) / min(seconds), 1)


def describe_machine(device: str) -> dict[str, str]:
    """What the machine is that this runs on, by name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = {
        "processor": _processor(),
        "cores": str(cores()),
        "memory": format_bytes(memory),
        "Python": platform.python_version(),
        "torch": torch.__version__,
    }
    if choose_device(device).type == "cuda":
        found["GPU"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
