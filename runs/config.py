"""Where a run's jobs run, and what of it each takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from common.codec import Positive, Text
from common.errors import ConfigError


@dataclass(frozen=True)
class ExecutorConfig:
    """What runs the jobs: this machine, or a cluster of Ray's.

    `address` is that of the cluster's head, `10.0.0.1:6379`, or `auto` for the cluster that this
    machine is a node of; without one a cluster of this machine alone is started, and ended with the
    command. A job whose node dies, or has no memory left, is tried again elsewhere up to `retries`
    times.
    """

    kind: Literal["local", "ray"] = "local"
    address: Text | None = None
    retries: Annotated[int, Ge(0)] = 3

    def __post_init__(self) -> None:
        if self.address is not None and "://" in self.address:
            raise ConfigError(
                f"executor.address: {self.address} is a URL; give HOST:PORT, or auto, on a machine "
                "that is a node of the cluster"
            )


@dataclass(frozen=True)
class ResourceConfig:
    """What a job takes of a machine: cores, by default its threads, and GPUs.

    By default that is a GPU for each of the training's devices, where there are any and `device` is
    not cpu.
    """

    cpus: Positive | None = None
    gpus: Annotated[int, Ge(0)] | None = None
