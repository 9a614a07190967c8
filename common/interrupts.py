"""Ctrl-C ends the program in one line, from its first moment on and within seconds.

Imported before anything that takes time; so it imports nothing that does.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STATUS = 130
MESSAGE = "interrupted; the same command goes on from here"
# What unwinds longer waits for threads of its own. Files are whole or absent: nothing is lost.
_UNWIND_SECONDS = 3.0
_SHOW_CURSOR = "\x1b[?25h"
# What ends a process that unwinds for too long.
_timers: list[Any] = []


class Terminated(BaseException):
    """SIGTERM, on its way out of `unwound_by_sigterm`."""


def end_at_once(*_: object) -> None:
    """Says so and ends this process."""
    cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
    try:
        os.write(2, f"{cursor}onegig: {MESSAGE}\n".encode())
    finally:
        os._exit(STATUS)


def heed_while_importing() -> None:
    """Ctrl-C ends the process at once, unless it is ignored, as in the background of a script."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)


def heed_while_working() -> None:
    """Ctrl-C is a KeyboardInterrupt from now on; the process ends soon, however that is met.

    Without `heed_while_importing` before, nothing changes.
    """
    if signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, _unwind)


def take_time() -> None:
    """Lets the rest of an unwinding take as long as it needs; a second Ctrl-C still ends it."""
    for timer in _timers:
        timer.cancel()


@contextmanager
def unwound_by_sigterm() -> Iterator[None]:
    """SIGTERM unwinds what is within, and then ends the process as ever; a second one does at once.

    Where it does something else already, or in another thread than the main one, nothing changes.
    """
    import threading

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def unwind(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    except Terminated:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _unwind(*_: object) -> None:
    import threading

    signal.signal(signal.SIGINT, end_at_once)
    timer = threading.Timer(_UNWIND_SECONDS, end_at_once)
    timer.daemon = True
    timer.start()
    _timers.append(timer)
    raise KeyboardInterrupt
