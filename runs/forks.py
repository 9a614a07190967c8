"""Starts `python -m MODULE` by forking a process that has imported the module already.

Importing torch takes longer than many a job of a small run, and a run has dozens of jobs.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

# What the server says of a job: its process number, and its return code or that it was started.
# So few bytes are written to a pipe and read from it as one.
_ANSWER = struct.Struct("ii")
_STARTED = 1 << 16
_POLL_MILLISECONDS = 50


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
            env=environment,
            pass_fds=inherited,
            # Ctrl-C is for the parent, which tells the jobs.
            process_group=0,
        )
        assert self._server.stdin is not None and self._server.stdout is not None
        self._requests, self._answers = self._server.stdin, self._server.stdout.fileno()
        self._news = select.poll()
        self._news.register(self._answers, select.POLLIN)
        self._codes: dict[int, int] = {}
        self._ended = False

    @property
    def alive(self) -> bool:
        """Whether it can start jobs."""
        # Its pipe is seen to be closed before the process can be waited for.
        return not self._ended and self._server.poll() is None

    def start(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Forked:
        """Starts a job, the leader of a process group of its own; it appends what it says to `log`.

        A server that is new still imports, which takes seconds; `is_wanted` is asked meanwhile.

        Raises:
            InterruptedError: the job is wanted no more; the server is ended with it.
            OSError: the server is gone.
        """
        request = {
            "arguments": list(arguments),
            "log": str(log.resolve()),
            "folder": os.getcwd(),
            "environment": dict(environment),
        }
        self._requests.write(json.dumps(request).encode() + b"\n")
        self._requests.flush()
        code = 0
        while code != _STARTED:
            while not self._news.poll(_POLL_MILLISECONDS):
                # One that has started jobs is needed by them, and answers soon.
                if not self._codes and not is_wanted():
                    self._server.kill()
                    self._server.wait()
                    raise InterruptedError
            pid, code = self._read()
            if self._ended:
                raise ChildProcessError(0, "the process that starts the jobs ended")
        return Forked(pid, self)

    def returncode(self, pid: int) -> int | None:
        """How a job ended, as `subprocess.Popen.returncode` says it; None while it runs."""
        while not self._ended and self._news.poll(0):
            self._read()
        code = self._codes[pid]
        if code != _STARTED:
            return code
        # Nobody can tell any more how a job ended whose server is gone.
        return -signal.SIGKILL if self._ended else None

    def fileno(self) -> int:
        """What can be read from when a job has ended."""
        return self._answers

    def _read(self) -> tuple[int, int]:
        """The server's next answer, for which it waits; zeros when none will come."""
        answer = os.read(self._answers, _ANSWER.size)
        self._ended = not answer
        pid, code = _ANSWER.unpack(answer or bytes(_ANSWER.size))
        self._codes[pid] = code
        return pid, code


@dataclass(frozen=True)
class Forked:
    """A job that was forked, with what the executor needs of a `subprocess.Popen`."""

    pid: int
    server: ForkServer

    def poll(self) -> int | None:
        """The return code; None while it runs."""
        return self.server.returncode(self.pid)


def wait_for_news(processes: Collection[object], seconds: float) -> None:
    """Until one of them has ended that was forked, or so much time has passed, or none is left."""
    if processes:
        wait({each.server.fileno() for each in processes if isinstance(each, Forked)}, seconds)


def serve(module: str) -> dict[str, Any]:
    """Forks what is asked for on standard input, and tells of it on standard output.

    Returns:
        The request, in the process that was forked for it.

    Raises:
        SystemExit: in the server, when the process that made it is gone.
    """
    with redirect_stdout(sys.stderr):
        importlib.import_module(module)
    ended, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([ended, sys.stdin], [], [])
        if ended in ready:
            os.read(ended, 1 << 16)
            _tell_of_the_ended()
        if sys.stdin in ready:
            # One line: nobody asks again before the answer.
            line = sys.stdin.readline()
            if not line:
                sys.exit()
            pid = os.fork()
            if pid == 0:
                return json.loads(line)
            # Here too: whichever of the two comes first.
            with suppress(OSError):
                os.setpgid(pid, pid)
            _tell(pid, _STARTED)


def _tell_of_the_ended() -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            _tell(ended[0], os.waitstatus_to_exitcode(ended[1]))


def _tell(pid: int, code: int) -> None:
    try:
        os.write(sys.stdout.fileno(), _ANSWER.pack(pid, code))
    except BrokenPipeError:
        # The process that made the server was killed; its jobs end with the server.
        sys.exit()


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
    status = 0
    try:
        run(module, serve(module))
    except SystemExit as ended:
        # Python prints a text on its way out.
        if isinstance(ended.code, str):
            raise
        status = ended.code or 0
    # A second goes by before an interpreter has taken thousands of modules apart.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
