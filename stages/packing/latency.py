"""What a clip takes in each student on this machine, where `limit` asks for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from common.threads import one_thread
from families.base import HIDDEN
from quantize.selection.latency import NANOSECONDS, UNLIMITED, Latency
from records import Batch, iterate_batches
from runs import Task, track
from stages.execute import Tasks
from stages.findings.machine import describe_machine
from stages.jobs import WEIGHTS_NAME
from stages.packing.measured import MeasuredModel
from stages.packing.receipt import LatencyReceipt
from stages.training_work import build_model
from stages.workspace import Workspace
from training.device import choose_device

LATENCY_FOLDER = "latency"
# By the clips of a batch, how many batches are timed together.
_BATCHES = {1: 8, 64: 1}
# What else the machine does only makes it slower: the best of so many seconds of repeats counts.
_SECONDS, _LEAST_REPEATS = 1.0, 3


@dataclass(frozen=True)
class ClipTimes:
    """What was measured, and what it may come to; where nothing is limited, nothing was.

    Attributes:
        limits: milliseconds; the bundle's first.
        batch: clips that are computed at once.
        nanoseconds: of a clip by student; of one that stands on another its own part.
        machine: on which that is so.
    """

    limits: tuple[float, ...] = ()
    batch: int = 1
    nanoseconds: Mapping[str, int] = field(default_factory=dict)
    machine: str = ""

    def within(self, models: Mapping[str, int], limit: float | None = None) -> Latency:
        """What the solver has to keep to, where so many models of each student are packed.

        Args:
            models: by student, how many.
            limit: milliseconds; by default the bundle's.
        """
        if not self.limits:
            return UNLIMITED
        own = {name: count * self.nanoseconds[name] for name, count in models.items()}
        return Latency(round((limit or self.limits[0]) * NANOSECONDS), own)

    def milliseconds(self, students: Iterable[str]) -> float:
        """Of a clip in one model of each."""
        return sum(self.nanoseconds[name] for name in students) / NANOSECONDS

    def inputs(self, limit: float | None = None) -> dict[str, Any]:
        """What a choice within a limit, by default the bundle's, depends on, for content keys."""
        if not self.limits:
            return {}
        given = limit or self.limits[0]
        return {"limit": {"milliseconds": given, "nanoseconds": dict(self.nanoseconds)}}

    def receipt(self, models: Mapping[str, str]) -> tuple[LatencyReceipt, ...]:
        """What the receipt says of models, by whose names these have their students'."""
        if not self.limits:
            return ()
        taken = {model: self.nanoseconds[student] for model, student in models.items()}
        whole = self.milliseconds(models.values())
        members = {model: own / NANOSECONDS for model, own in taken.items()}
        return (LatencyReceipt(self.machine, self.batch, self.limits[0], whole, members),)


def clip_times(workspace: Workspace, models: Mapping[str, MeasuredModel]) -> ClipTimes:
    """Measures, once on a machine, a model of each student; where nothing is limited, nothing.

    Args:
        workspace: the run.
        models: by student.
    """
    config = workspace.config
    if not config.limit.each:
        return ClipTimes()
    machine = describe_machine(config.device)
    split = workspace.data.open("train")
    split = split.select(np.arange(min(max(_BATCHES), len(split))))
    inputs = {"clips": split.fingerprint, "device": config.device, "machine": machine}
    batches: dict[int, list[Batch]] = {}

    def measured(name: str, model: MeasuredModel) -> int:
        def work(task: Task) -> tuple[list[str], Any]:
            for size, count in _BATCHES.items() if not batches else ():
                some = split.select(np.arange(min(size * count, len(split))))
                batches[size] = list(iterate_batches(some, size))
            return [], {f"batch {size}": own for size, own in _times(model, batches).items()}

        own = {"trained": model.job.trained.digest, "host": _host(model), **inputs}
        task = Tasks(workspace).of_work(f"{LATENCY_FOLDER}/{name}", own, work)
        return int(task.summary()[f"batch {config.limit.batch}"])

    told = track(models.items(), "milliseconds a clip", len(models))
    found = {name: measured(name, model) for name, model in told}
    described = machine.get("GPU") or f"one thread of {machine['processor']}"
    return ClipTimes(config.limit.each, config.limit.batch, found, described)


def _host(model: MeasuredModel) -> str | None:
    host = model.job.setting.host
    return None if host is None else host.trained.digest


def _times(measured: MeasuredModel, batches: Mapping[int, Sequence[Batch]]) -> dict[int, int]:
    """Nanoseconds of a clip by the clips of a batch; what is stored in few bits takes as long."""
    job = measured.job
    device = choose_device(job.setting.device)
    model = build_model(job.setting).eval()
    model.load_state_dict(load_file(job.trained.file(WEIGHTS_NAME)))
    found = {}
    with one_thread(), torch.inference_mode():
        for size, own in batches.items():
            here = [batch.to(device) for batch in own]
            given = [(batch.features, batch.mask) for batch in here]
            if job.setting.host is not None:
                given = [({HIDDEN: model.host_layer(*inputs)}, None) for inputs in given]
            clips = sum(len(batch.ids) for batch in here)
            found[size] = max(1, round(_seconds(model, given) / clips * 1e9))
    return found


def _seconds(model: torch.nn.Module, given: Sequence[tuple[Any, Any]]) -> float:
    """The sum of each input's best time."""
    best, spent, repeats = [float("inf")] * len(given), 0.0, 0
    while spent < _SECONDS or repeats < _LEAST_REPEATS:
        for place, inputs in enumerate(given):
            began = time.perf_counter()
            # To read a value waits for the device.
            model(*inputs).sum().item()
            taken = time.perf_counter() - began
            best[place], spent = min(best[place], taken), spent + taken
        repeats += 1
    return sum(best)
