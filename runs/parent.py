"""A worker's tie to its parent: when the parent is gone, however it went, so is the worker."""

import multiprocessing
import os
import signal
import stat
import threading

PARENT_PIPE = "ONEGIG_PARENT_PIPE"


def die_with_parent() -> None:
    """Ends this process, and its data workers, as soon as the parent that `run_jobs` ran in ends.

    Call it first in a worker's main. The parent holds the write end of a pipe and never writes;
    the kernel closes it when the parent ends, be it by SIGKILL, and a thread here reads the end of
    the file. Without `ONEGIG_PARENT_PIPE` in the environment (a worker started by hand) nothing
    happens.
    """
    # Taken out of the environment: a process that this one starts does not inherit the pipe.
    number = os.environ.pop(PARENT_PIPE, "")
    if not number.isdecimal() or not _is_pipe(int(number)):
        return
    os.set_inheritable(int(number), False)
    threading.Thread(
        target=_wait_for_end, args=(int(number),), name="die_with_parent", daemon=True
    ).start()


def die_with_spawner() -> None:
    """Ends this process, which `multiprocessing` spawned, as soon as its parent ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="die_with_spawner", daemon=True).start()


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _wait_for_end(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    # `run_jobs` makes every job the leader of its own group, so that this ends its workers too.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
