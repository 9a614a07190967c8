"""Starts `python -m MODULE` by forking a process that has imported the module already.

Importing torch takes longer than many a job of a small run, and a run has dozens of jobs.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

_READ_BYTES = 1 << 16
_POLL_SECONDS = 0.01


class ForkServer:
    """A process that forks one process a job; it ends with the process that made it.

    Args:
        module: what every job runs, as `python -m` would.
        environment: of the server.
        inherited: descriptors that the jobs keep open.
    """

    def __init__(
        self, module: str, environment: Mapping[str, str], inherited: Sequence[int]
    ) -> None:
        self._server = subprocess.Popen(
            (sys.executable, "-c", f"from runs.forks import main; main({module!r})"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            pass_fds=tuple(inherited),
            # Ctrl-C is for the parent, which tells the jobs.
            process_group=0,
        )
        self._buffer = b""
        self._codes: dict[int, int] = {}
        self._ended = False

    @property
    def alive(self) -> bool:
        """Whether it can start jobs."""
        return self._server.poll() is None

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Forked:
        """Starts a job, the leader of a process group of its own.

        Args:
            arguments: the module's.
            log: what takes its standard output and error, at its end.
            environment: the job's.

        Raises:
            OSError: the server is gone.
        """
        assert self._server.stdin is not None
        request = json.dumps(
            {
                "arguments": list(arguments),
                "log": str(log.resolve()),
                "folder": os.getcwd(),
                "environment": dict(environment),
            }
        )
        self._server.stdin.write(request.encode() + b"\n")
        self._server.stdin.flush()
        while True:
            answer = self._read()
            if answer is None:
                raise ChildProcessError(0, "the process that starts the jobs ended")
            if "started" in answer:
                self._codes.pop(answer["started"], None)
                return Forked(answer["started"], self)

    def returncode(self, pid: int) -> int | None:
        """How a job ended, as `subprocess.Popen.returncode` says it; None while it runs."""
        assert self._server.stdout is not None
        descriptor = self._server.stdout.fileno()
        os.set_blocking(descriptor, False)
        while pid not in self._codes and not self._ended and self._read() is not None:
            pass
        os.set_blocking(descriptor, True)
        # Nobody can tell any more how a job ended whose server is gone.
        return self._codes.get(pid, -signal.SIGKILL if self._ended else None)

    def _read(self) -> dict[str, int] | None:
        """The server's next line; None when there is none yet, or never will be."""
        assert self._server.stdout is not None
        while b"\n" not in self._buffer:
            try:
                data = os.read(self._server.stdout.fileno(), _READ_BYTES)
            except BlockingIOError:
                return None
            if not data:
                self._ended = True
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, int] = json.loads(line)
        if "ended" in answer:
            self._codes[answer["ended"]] = answer["code"]
        return answer


class Forked:
    """A job that was forked, with what the executor needs of a `subprocess.Popen`."""

    def __init__(self, pid: int, server: ForkServer) -> None:
        self.pid = pid
        self._server = server

    def poll(self) -> int | None:
        """The return code; None while it runs."""
        return self._server.returncode(self.pid)

    def wait(self) -> int:
        """Waits for the end; returns the return code."""
        while (code := self.poll()) is None:
            time.sleep(_POLL_SECONDS)
        return code

    def terminate(self) -> None:
        """Sends SIGTERM."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


def serve(module: str) -> dict[str, Any]:
    """Forks what is asked for on standard input, and tells of it on standard output.

    Returns:
        The request, in the process that was forked for it.

    Raises:
        SystemExit: in the server, when the process that made it is gone.
    """
    importlib.import_module(module)
    ended, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    requests = b""
    with selectors.DefaultSelector() as selector:
        selector.register(ended, selectors.EVENT_READ)
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                data = os.read(key.fd, _READ_BYTES)
                if key.fd == ended:
                    _tell_of_the_ended()
                    continue
                if not data:
                    sys.exit()
                *lines, requests = (requests + data).split(b"\n")
                for line in lines:
                    pid = os.fork()
                    if pid == 0:
                        return json.loads(line)
                    # Here too: whichever of the two comes first.
                    with suppress(OSError):
                        os.setpgid(pid, pid)
                    _tell(started=pid)


def _tell_of_the_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def _tell(**answer: int) -> None:
    os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


def run(module: str, request: Mapping[str, Any]) -> None:
    """Becomes what `python -m module` would have been."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(log, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [module, *request["arguments"]]
    setproctitle(" ".join([sys.executable, "-m", *sys.argv]))
    # It was imported for what it imports; now it is the program.
    del sys.modules[module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main(module: str) -> None:
    """The server's program, and that of every job."""
    # Before the environment, beside which the title is written, changes.
    setproctitle(f"onegig: starts {module}")
    run(module, serve(module))
