"""SIGKILL again and again over one run: in every stage, at chosen writes and at random moments."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.faults.injection.sitecustomize import VARIABLE
from benchmarks.faults.line import Line, difference
from benchmarks.faults.promise import Trial, promise

_INJECTION = Path(__file__).parent / "injection"
# What a run comes by, in this order, and how many of a hundred kills it gets. `.submission` is no
# folder, but the files begin so until they are renamed.
SHARES = {
    "data/": 4,
    "index/": 10,
    "teachers/": 16,
    "ensemble/": 8,
    "training-predictions/": 5,
    "soft/": 8,
    "students/": 16,
    "quantized/": 8,
    "curve/": 7,
    "selection/": 7,
    "bundle/": 9,
    ".submission": 2,
}
KINDS = tuple(SHARES)
_ORPHAN_SECONDS = 20.0


@dataclass
class _Killer:
    """A run that is killed and continued.

    Attributes:
        most: By kind, how many changes of files one process made there in one go, as far as known.
        hit: By kind, how many kills.
    """

    trial: Trial
    line: Line
    random: np.random.Generator
    most: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 30))
    hit: Counter[str] = field(default_factory=Counter)
    began: int = 0

    def kill_in(self, kind: str, kills: int) -> None:
        """Continues the run until it was killed so often at work on `kind`."""
        for _ in range(10 * kills):
            if self.hit[kind] >= kills:
                return
            if self._continue_to(kind) != kind:
                # All of it is done: it is to be done again.
                self._forget(kind)

    def _continue_to(self, kind: str) -> str | None:
        """Continues the run up to a kill; returns where that was, None if the run came through."""
        number = int(self.random.integers(1, self.most[kind] + 1))
        # Before a write, just behind it, or anywhere in the work that follows.
        delay = float(self.random.choice([0, 0, 0.003, 0.4])) * float(self.random.random())
        process, told = self._start(kind, number, hold=delay == 0)
        while not told.exists() and process.poll() is None:
            time.sleep(0.001)
        if not told.exists():
            self._came_through(process)
            return None
        about = _read(told)
        time.sleep(delay)
        self._kill(process, about["pid"], hold=delay == 0)
        found = KINDS[about["kind"]]
        if found != kind:
            self.most[kind] = max(2, about["seen"])
        self.hit[found] += 1
        return found

    def _start(self, kind: str, number: int, hold: bool) -> tuple[subprocess.Popen[str], Path]:
        self.began += 1
        told = self.trial.folder / f"told-{self.began}"
        folders = [f"{self.line.data}/", *(f"{self.line.run}/{name}" for name in KINDS[1:])]
        plan = {
            "folders": folders,
            "kind": KINDS.index(kind),
            "number": number,
            "hold": hold,
            "told": str(told),
        }
        environment = {VARIABLE: json.dumps(plan), "PYTHONPATH": str(_INJECTION)}
        # A checkpoint at every step, as a long training would have them.
        more = ("stage=all", "train.checkpoint_seconds=0", "jobs=2")
        return self.line.start(*more, environment=environment), told

    def _kill(self, process: subprocess.Popen[str], stopped: int, hold: bool) -> None:
        """Kills the program, or the worker that was stopped, or both."""
        own = stopped == process.pid
        # One that goes on may have ended meanwhile.
        whom = self.random.choice(["program", "both", "worker"][: 3 if hold else 2])
        whom = "program" if own else whom
        if whom != "program":
            with suppress(ProcessLookupError):
                os.kill(stopped, signal.SIGKILL)
        if whom != "worker":
            process.kill()
        _, err = process.communicate()
        wanted = 1 if whom == "worker" else -signal.SIGKILL
        held = process.returncode == wanted and "Traceback" not in err
        if whom == "program" and not own:
            held = held and _is_gone(stopped)
            err += f" worker {stopped} lives on"
        self.trial.case(held, f"{whom} killed: status {process.returncode}: {err[-200:]}")

    def _came_through(self, process: subprocess.Popen[str]) -> None:
        """The run ended before there was anything to be killed at."""
        _, err = process.communicate()
        if not self.trial.case(process.returncode == 0, f"does not go on: {err[-250:]}", count=0):
            # From the start, so that one fault does not count for all that follow.
            shutil.rmtree(self.line.folder)

    def _forget(self, kind: str) -> None:
        if kind == "data/":
            shutil.rmtree(self.line.data, ignore_errors=True)
        elif kind == ".submission":
            for path in self.line.run.glob("submission*"):
                path.unlink()
        else:
            shutil.rmtree(self.line.run / kind, ignore_errors=True)


def _read(told: Path) -> dict[str, int]:
    """What the stopped process wrote; the file is there a moment before its content."""
    while True:
        with suppress(ValueError):
            return dict(json.loads(told.read_text()))
        time.sleep(0.001)


def _is_gone(pid: int) -> bool:
    """Whether a process ends in time, now that its parent is dead."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


@promise(
    "kills",
    "killed at any moment, the same command goes on and ends at the same bytes",
    how="SIGKILL of the program, of a worker or of both, at writes chosen at random in every stage "
    "of one run of `smoke`, before them or up to 0.4 s after",
    cases=200,
)
def kill_over_a_run(trial: Trial) -> None:
    """All results of the run that was killed are those of the undisturbed one."""
    undisturbed = trial.line.finished
    killer = _Killer(trial, Line(trial.folder / "killed"), trial.random)
    for kind, share in SHARES.items():
        killer.kill_in(kind, round(share * trial.wanted / sum(SHARES.values())))
    status, err = killer.line.call("stage=all")
    trial.case(status == 0, f"at the end: status {status}: {err[-250:]}", count=0)
    differ = difference(undisturbed.results(), killer.line.results())
    trial.case(not differ, f"other bytes in the end: {differ}", count=0)
    by_kind = (f"{name.strip('./')} {count}" for name, count in killer.hit.items())
    trial.figures.append(f"kills by place: {', '.join(by_kind)}")
