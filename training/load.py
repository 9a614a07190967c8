"""How much of a machine a training uses."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil
import torch

# The utilization of a GPU is that of its last second or so.
_SAMPLE_SECONDS = 2.0


class LoadMeter:
    """Measures the load of this process, and of those that it started, from its creation on.

    Args:
        device: where the model computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._process = psutil.Process()
        self._gpu = _Gpu(device) if device.type == "cuda" else None
        self._began = self._sampled = time.monotonic()
        self._cpu_began = self._cpu_seconds()

    def sample(self) -> None:
        """Looks at the GPU, if there is one and it is time; to be called often."""
        now = time.monotonic()
        if self._gpu is not None and now - self._sampled >= _SAMPLE_SECONDS:
            self._sampled = now
            self._gpu.sample()

    def cpu(self) -> float:
        """Seconds of processor time a second: 1 keeps one core busy."""
        seconds = time.monotonic() - self._began
        return (self._cpu_seconds() - self._cpu_began) / max(seconds, 1e-9)

    def gpu(self) -> float | None:
        """The share of time in which the GPU was busy, with whatever; None where it is unknown."""
        return None if self._gpu is None else self._gpu.mean()

    def _cpu_seconds(self) -> float:
        """Of this process, its children that ended, and those that read data now."""
        own = self._process.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in self._process.children(recursive=True):
            # It may have ended.
            with suppress(psutil.Error):
                times = child.cpu_times()
                total += times.user + times.system
        return total


class _Gpu:
    """The utilization of a CUDA device as its driver reports it, in samples."""

    def __init__(self, device: torch.device) -> None:
        import pynvml

        self._nvml = pynvml
        self._shares: list[float] = []
        self._handle = None
        # Without a driver of its own, as in some containers, there is nothing to ask.
        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(device).uuid
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")

    def sample(self) -> None:
        if self._handle is not None:
            with suppress(self._nvml.NVMLError):
                rates = self._nvml.nvmlDeviceGetUtilizationRates(self._handle)
                self._shares.append(rates.gpu / 100)

    def mean(self) -> float | None:
        return sum(self._shares) / len(self._shares) if self._shares else None
