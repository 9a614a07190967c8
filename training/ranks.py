"""The processes that share one training: who leads, and how they stay in step.

Each computes its part of every batch. What depends on the clock, on the disk or on signals is found
out by the first of them, and told to the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed

# The variable by which ranks know how often all were started again.
RESTARTED = "ONEGIG_RESTARTED"

Result = TypeVar("Result")


class OtherRankFailed(Exception):
    """Another process of the training failed, and says why."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a training, as one of them sees them.

    Attributes:
        rank: of this process, the leader's being 0.
        count: how many there are.
        messages: the group over which they agree, of tensors on the CPU whatever they train on.
        restarts: how often all were started again since one had died.
    """

    rank: int = 0
    count: int = 1
    messages: distributed.ProcessGroup | None = None
    restarts: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process decides, and writes what is written."""
        return self.rank == 0

    def led(
        self, length: int, work: Callable[[], Sequence[float]] | None = None
    ) -> Sequence[float]:
        """What the leader finds out, on all ranks.

        Args:
            length: how many numbers that is.
            work: of the leader, which alone has some: gives them.

        Raises:
            OtherRankFailed: the leader's work raised something, which is raised there.
        """
        if work is not None and self.count == 1:
            return work()
        error, told = None, torch.zeros(1 + length, dtype=torch.float64)
        if work is not None:
            try:
                told[1:] = torch.tensor(work(), dtype=torch.float64)
            except Exception as raised:
                error, told[0] = raised, 1
        distributed.broadcast(told, 0, group=self.messages)
        self._agree(told[0], error)
        return told[1:].tolist()

    def each(self, work: Callable[[], Result]) -> Result:
        """What every rank does for itself, if none of them fails.

        Raises:
            OtherRankFailed: another's work raised something, which is raised there.
        """
        if self.count == 1:
            return work()
        error, failed = None, torch.zeros(())
        try:
            result = work()
        except Exception as raised:
            error, failed = raised, torch.ones(())
        distributed.all_reduce(failed, group=self.messages)
        self._agree(failed, error)
        return result

    def part(self) -> None:
        """Ends what the ranks have in common; all call it when the last of that is done."""
        if self.count > 1:
            distributed.destroy_process_group()

    @staticmethod
    def _agree(failed: Tensor, error: Exception | None) -> None:
        if error is not None:
            raise error
        if failed:
            raise OtherRankFailed


ALONE = Ranks()


def joined(device: torch.device) -> Ranks:
    """The ranks that were started with this process, joined to compute on such devices.

    They talk by NCCL between GPUs, each having the one of its local rank, and else by gloo.
    """
    on_gpus = device.type == "cuda"
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpus else "gloo")
    return Ranks(
        distributed.get_rank(),
        distributed.get_world_size(),
        distributed.new_group(backend="gloo"),
        int(os.environ.get(RESTARTED, 0)),
    )
