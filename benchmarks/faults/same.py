"""The same bytes whatever runs beside, however many at once, and on however many cores."""

import os
import subprocess
import sys
from collections.abc import Callable

from benchmarks.faults.line import Line, difference
from benchmarks.faults.promise import Trial, promise

_BUSY = "while True: pass"


def _plain(line: Line, *more: str) -> tuple[int, str]:
    return line.call("stage=all", *more)


def _on_one_core(line: Line) -> tuple[int, str]:
    core = min(os.sched_getaffinity(0))
    return line.call("stage=all", before=("taskset", "-c", str(core)))


def _with_other_work(line: Line) -> tuple[int, str]:
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        return line.call("stage=all")
    finally:
        for other in others:
            other.kill()
            other.wait()


def _continued(line: Line) -> tuple[int, str]:
    """Begun with one number of jobs and ended with another."""
    for more in (("stage=synthesize",), ("stage=teachers", "jobs=1")):
        status, err = line.call(*more)
        if status:
            return status, err
    return line.call("stage=all", "jobs=3")


WAYS: dict[str, Callable[[Line], tuple[int, str]]] = {
    "jobs=1": lambda line: _plain(line, "jobs=1"),
    "jobs=2": lambda line: _plain(line, "jobs=2"),
    "jobs=3": lambda line: _plain(line, "jobs=3"),
    "taskset on one core": _on_one_core,
    "other work beside": _with_other_work,
    "jobs=1, then jobs=3": _continued,
}


@promise(
    "same",
    "the same bytes with any number of jobs and cores, whatever runs beside",
    how=f"runs of `smoke` with {', '.join(WAYS)}",
    cases=len(WAYS),
)
def run_in_every_way(trial: Trial) -> None:
    """All results are those of the undisturbed run."""
    undisturbed = trial.line.finished.results()
    for number, (way, run) in enumerate(list(WAYS.items())[: trial.wanted]):
        line = Line(trial.folder / str(number))
        status, err = run(line)
        trial.case(status == 0, f"{way}: status {status}: {err[-250:]}")
        differ = difference(undisturbed, line.results())
        trial.case(not differ, f"{way}: other bytes: {differ}", count=0)
