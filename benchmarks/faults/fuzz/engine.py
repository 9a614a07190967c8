"""Runs targets in turn, each in children with bounds, and keeps what went wrong."""

import json
import mmap
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.faults.children import GIB, in_memory, where

# What one case may take; a slice is how long a target is at it before the next one's turn.
MEMORY, SECONDS, SLICE_SECONDS = GIB, 5.0, 10.0
_DEAF_SECONDS = 60.0  # after which a child that does not answer is killed
_KEPT_ALIKE = 3


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Attributes:
        name: Of the target.
        prepare: Writes sound files to a folder and returns what the others need.
        make: A mutated file, and what it is called among those of the target.
        check: What is wrong with how a file was met; None where all is well. An exception is a
            finding too.
    """

    name: str
    prepare: Callable[[Path], Any]
    make: Callable[[Any, Random], tuple[str, bytes]]
    check: Callable[[Any, str, bytes], str | None]


class _TooLong(BaseException):
    """A case takes longer than it may; nothing that is tried catches this."""


@dataclass
class Report:
    """By target, cases, seconds and findings."""

    cases: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    findings: list[tuple[str, int, str]] = field(default_factory=list)

    def table(self) -> str:
        """In Markdown, a row a target."""
        rows = ["| target | cases | a second | findings |", "| --- | ---: | ---: | ---: |"]
        for name, cases in self.cases.items():
            found = sum(target == name for target, _, _ in self.findings)
            rate = cases / max(self.seconds[name], 1e-9)
            rows.append(f"| {name} | {cases:,} | {rate:,.0f} | {found:,} |")
        return "\n".join(rows)


def case_random(seed: int, target: str, number: int) -> Random:
    """What a case's file is made with: it comes out the same at any time."""
    return Random(f"{seed}/{target}/{number}")


def fuzz(targets: Sequence[Target], seed: int, seconds: float, keep: Path) -> Report:
    """Tries one file after another for so long; what went wrong is kept in the folder `keep`."""
    report = Report({t.name: 0 for t in targets}, {t.name: 0.0 for t in targets})
    until = time.monotonic() + seconds
    with TemporaryDirectory(prefix="fuzz-") as folder:
        prepared = []
        for target in targets:
            own = Path(folder) / target.name
            own.mkdir()
            prepared.append((target, target.prepare(own)))
        slice_seconds = min(SLICE_SECONDS, seconds / len(targets))
        while time.monotonic() < until:
            for target, state in prepared:
                _turn(target, state, seed, slice_seconds, report, keep)
    return report


def _turn(
    target: Target, state: Any, seed: int, seconds: float, report: Report, keep: Path
) -> None:
    """One slice of a target, in a child that tells each finding by a pipe."""
    began = time.monotonic()
    start = report.cases[target.name]
    # The number of the case at hand, which is known also of a child that died.
    shared = mmap.mmap(-1, 8)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            _run(target, state, seed, start, began + seconds, shared, writing)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    last, deaf = start - 1, False
    said = b""
    while True:
        number = int.from_bytes(shared[:8], "little")
        deaf = not select.select([reading], [], [], _DEAF_SECONDS)[0] and number == last
        last = number
        if deaf:
            os.kill(child, signal.SIGKILL)
            break
        more = os.read(reading, 1 << 16) if select.select([reading], [], [], 0)[0] else None
        if more == b"":
            break
        said += more or b""
    status = os.waitpid(child, 0)[1]
    os.close(reading)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the fuzzer itself failed at {target.name}")
    number = int.from_bytes(shared[:8], "little")
    found = [json.loads(line) for line in said.splitlines()]
    if deaf:
        found.append([number, f"no answer in {_DEAF_SECONDS:.0f} s"])
    elif os.WIFSIGNALED(status):
        found.append([number, f"died by {signal.Signals(os.WTERMSIG(status)).name}"])
    for case, text in found:
        _keep(target, state, seed, case, text, report, keep)
    report.cases[target.name] = number + 1
    report.seconds[target.name] += time.monotonic() - began


def _run(
    target: Target,
    state: Any,
    seed: int,
    number: int,
    until: float,
    shared: mmap.mmap,
    writing: int,
) -> None:
    """Cases one after another, until the time is over."""
    limit = in_memory("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, _too_long)
    while True:
        shared[:8] = number.to_bytes(8, "little")
        name, data = target.make(state, case_random(seed, target.name, number))
        # Of the processor: another program beside does not make a case slow.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            text = target.check(state, name, data)
        except (Exception, _TooLong) as error:
            text = where(error)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if text:
            os.write(writing, json.dumps([number, text]).encode() + b"\n")
        if time.monotonic() >= until:
            return
        number += 1


def _too_long(_number: int, _frame: object) -> None:
    raise _TooLong(f"more than {SECONDS:.0f} s")


def _keep(
    target: Target, state: Any, seed: int, number: int, text: str, report: Report, keep: Path
) -> None:
    """Books a finding, and writes the file that led to it, of those alike the first ones."""
    kind = text.split(":")[0]
    alike = [t for name, _, t in report.findings if name == target.name and t.startswith(kind)]
    report.findings.append((target.name, number, text))
    if len(alike) >= _KEPT_ALIKE:
        return
    name, data = target.make(state, case_random(seed, target.name, number))
    path = keep / f"{target.name}-{seed}-{number}-{name}"
    keep.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"{target.name}, seed {seed}, case {number}: {text}\n  kept as {path}", file=sys.stderr)
