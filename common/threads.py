"""How many threads compute at once in this process; no byte of a result depends on it.

Libraries that split one operation among threads round differently with their number. They have as
many as a job's key says, and one in the main process. What all cores share there is cut into pieces
that are computed alike whoever computes them.

Imported before those libraries, so it imports none of them.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

LIBRARY_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
POOL_VARIABLE = "ONEGIG_THREADS"

Item = TypeVar("Item")
Made = TypeVar("Made")


def cores() -> int:
    """Those that this process may use, by its affinity and the limits of its container."""
    from joblib import cpu_count

    return cpu_count()


def pool_threads() -> int:
    """Threads for independent pieces of work: the cores, or as many as a job was given."""
    return int(os.environ.get(POOL_VARIABLE, 0)) or cores()


def on_threads(work: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    """What `work` makes of each item, in their order, on as many threads as there are for pieces.

    They are worth it where the work is numpy's, which lets go of the interpreter in long loops. A
    search does this thousands of times, and joblib's threads take milliseconds to start and end.
    """
    threads = min(pool_threads(), len(items))
    if threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def environment(threads: int) -> dict[str, str]:
    """What gives a process so many threads; libraries read it when they are imported."""
    return dict.fromkeys((*LIBRARY_VARIABLES, POOL_VARIABLE), str(threads))


@contextmanager
def one_thread() -> Iterator[None]:
    """Meanwhile libraries that were imported with more threads compute with one; then as before."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    with threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
