"""Stops a process at a chosen change of its files; Python imports this when it starts.

It has to be on PYTHONPATH. `benchmarks.faults.kills` says where to stop, in the variable
ONEGIG_STOP_AT. The first process of a run that gets there writes its number and waits to be killed,
or goes on until it is.
"""

import json
import os
import sys
import time
from typing import Any

VARIABLE = "ONEGIG_STOP_AT"
# Of the events that Python reports, those that change a folder; `open` if it writes or flushes.
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "open"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND


class _Stop:
    def __init__(self, folders: list[str], kind: int, number: int, hold: bool, told: str) -> None:
        self.folders = folders  # by kind, in the order in which a run comes by them
        self.kind = kind
        self.number = number
        self.hold = hold
        self.told = told
        self.seen = 0
        self.over = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.over or event not in _CHANGES:
            return
        path = arguments[0]
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, (str, os.PathLike)):
            return
        path = os.fspath(path)
        if event == "open" and not (arguments[2] & _WRITING or path.endswith(".tmp")):
            return
        kind = self._kind(path)
        if kind == self.kind:
            self.seen += 1
        if kind > self.kind or self.seen == self.number:
            self._stop(kind, event, path)

    def _kind(self, path: str) -> int:
        """The last folder that the path begins with; -1 for any other path."""
        fitting = (n for n, folder in enumerate(self.folders) if path.startswith(folder))
        return max(fitting, default=-1)

    def _stop(self, kind: int, event: str, path: str) -> None:
        self.over = True
        about = {"pid": os.getpid(), "kind": kind, "seen": self.seen, "at": f"{event} {path}"}
        try:
            # Whole in one write; of several processes the first one counts.
            descriptor = os.open(self.told, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return
        os.write(descriptor, json.dumps(about).encode())
        os.close(descriptor)
        while self.hold:
            time.sleep(1)


if VARIABLE in os.environ:
    sys.addaudithook(_Stop(**json.loads(os.environ[VARIABLE])))
