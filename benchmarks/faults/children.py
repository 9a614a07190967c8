"""A call in a child of its own: what it came to, the time and the memory that it took."""

import json
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError

GIB = 2**30
# Far above what any call may take, so that a broken promise is measured and not only cut off.
_MEMORY, _SECONDS = 6 * GIB, 90.0
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Ended:
    """How a call ended.

    Attributes:
        kind: `returned`, `refused` (a `UserError`), `raised` (anything else) or `died`.
        value: What it returned, as JSON has it, or what it said.
        seconds: Of the processor, so that other work beside does not count.
        peak: Bytes of memory at the worst moment above those before the call.
    """

    kind: str
    value: Any
    seconds: float = 0.0
    peak: int = 0


def in_child(call: Callable[[], Any], memory: int = _MEMORY, seconds: float = _SECONDS) -> Ended:
    """Forks, calls, and tells how it ended; the child can change nothing here.

    Args:
        call: Returns what JSON knows.
        memory: Bytes of address space that it may take beyond those that there are.
        seconds: After these it is killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            said = json.dumps(asdict(_measured(call, memory))).encode()
            while said:
                said = said[os.write(writing, said) :]
        finally:
            # Without the exits of the parent's libraries, whose threads are not here.
            os._exit(0)
    os.close(writing)
    answer = _read_all(reading, time.monotonic() + seconds)
    os.close(reading)
    if answer is None:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if answer is None:
        return Ended("died", f"killed after {seconds:.0f} s", seconds)
    if not answer:
        return Ended("died", f"by signal {os.WTERMSIG(status)}")
    return Ended(**json.loads(answer))


def _read_all(descriptor: int, deadline: float) -> bytes | None:
    """What comes until the other end is closed; None where that takes too long."""
    said = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        more = os.read(descriptor, 1 << 16)
        if not more:
            return said
        said += more


def _measured(call: Callable[[], Any], memory: int) -> Ended:
    limit = in_memory("VmSize") + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # The worst moment is counted from here on.
    _CLEAR.write_text("5")
    before, began = in_memory("VmRSS"), time.process_time()
    try:
        kind, value = "returned", call()
    except UserError as error:
        kind, value = "refused", str(error)
    except BaseException as error:
        kind, value = "raised", where(error)
    seconds = time.process_time() - began
    return Ended(kind, value, seconds, in_memory("VmHWM") - before)


def in_memory(figure: str) -> int:
    """Bytes that the kernel says of this process: `VmRSS`, `VmHWM` (its worst), `VmSize`."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(figure))
    return int(line.split()[1]) * 1024


def where(error: BaseException) -> str:
    """An error on one line, with the place in which it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(str(error)[:200].split())
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {said}"
