"""Starts the ranks of a training by torch's elastic agent, as torchrun does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import uuid4

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from common.threads import environment
from runs.failures import describe_exit
from runs.parent import die_with_spawner
from training.ranks import RESTARTED
from training.stop import Interrupted

Result = TypeVar("Result")

RESTARTS = 3
# Less than the executor waits for a job that it told to end.
_CHECKPOINT_SECONDS = 50
_HERE = "127.0.0.1"


class RanksFailed(Exception):
    """A rank ended without a result, and did so again each time that all were started anew."""


def launch(
    work: Callable[..., Result], *arguments: object, ranks: int, threads: int
) -> list[Result]:
    """Calls a function in so many processes at once, each of which joins the others by `joined`.

    Where one of them dies, all are ended and started again, up to `RESTARTS` times.

    Args:
        work: of a module, so that a process that is started anew can import it.
        arguments: of the function, the same for all.
        ranks: how many processes.
        threads: of each.

    Returns:
        What each rank's call returned.

    Raises:
        Interrupted: SIGTERM came, and was passed on to all.
        RanksFailed: one died too often.
    """
    # Libraries read them when they are imported.
    os.environ.update(environment(threads))
    for restarts in range(RESTARTS + 1):
        os.environ[RESTARTED] = str(restarts)
        try:
            return _launch_once(work, *arguments, ranks=ranks, threads=threads)
        except ChildFailedError as error:
            # Its name goes with the block.
            failed = error
    rank, failure = failed.get_first_failure()
    ending = describe_exit(failure.exitcode)
    raise RanksFailed(f"rank {rank} of {ranks} {ending}, also after {RESTARTS} restarts") from None


def _launch_once(
    work: Callable[..., Result], *arguments: object, ranks: int, threads: int
) -> list[Result]:
    """The same, once.

    The agent's own restarts have the ranks meet again where they met before, and there gloo finds
    addresses of those that are dead.

    Raises:
        ChildFailedError: a rank died.
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=f"{_HERE}:0",
        local_addr=_HERE,
        max_restarts=0,
        shutdown_timeout=_CHECKPOINT_SECONDS,
    )
    try:
        with _handlers_kept():
            results = elastic_launch(config, _start)(work, threads, *arguments)
    except SignalException:
        raise Interrupted from None
    return [results[rank] for rank in range(ranks)]


def _start(work: Callable[..., Result], threads: int, *arguments: object) -> Result:
    """What the process of a rank does."""
    die_with_spawner()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    return work(*arguments)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """The agent sets handlers of signals, and leaves them."""
    numbers = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
