"""Tries every promise of docs/reliability.md anew, or feeds damaged files for as long as told.

    python -m benchmarks.faults                       # the table, in Markdown; about 40 minutes
    python -m benchmarks.faults --minutes 5           # the same with fewer cases
    python -m benchmarks.faults --only kills --only sizes
    python -m benchmarks.faults --fuzz 30             # the fuzzer, for 30 minutes

The same seed and minutes try the same cases. The exit status is 1 when a promise failed or the
fuzzer found something.
"""

import argparse
import sys
import tempfile
import time
import zlib
from pathlib import Path

import torch

from benchmarks.faults.checks import PROMISES
from benchmarks.faults.fuzz.engine import fuzz
from benchmarks.faults.fuzz.targets import TARGETS
from benchmarks.faults.line import Line
from benchmarks.faults.promise import Trial, table, try_promise

WHOLE_MINUTES = 40.0  # what all cases took on two cores
MOST_SHOWN = 10
_SHARED_MEMORY = "/dev/shm"


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    options = _options(arguments)
    # What is forked here must not wait for threads that the fork did not take along.
    torch.set_num_threads(1)
    if options.fuzz is not None:
        # In memory, where it costs nothing to flush a file.
        tempfile.tempdir = _SHARED_MEMORY if Path(_SHARED_MEMORY).is_dir() else None
        chosen = [TARGETS[name] for name in options.only or TARGETS]
        found = fuzz(chosen, options.seed, options.fuzz * 60, options.findings)
        print(found.table())
        return 1 if found.findings else 0
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        return _try_all(options, Path(name).resolve())


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.faults")
    parser.add_argument("--minutes", type=float, default=WHOLE_MINUTES, help="scales the cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=[*PROMISES, *TARGETS], metavar="NAME")
    parser.add_argument("--fuzz", type=float, metavar="MINUTES")
    parser.add_argument("--findings", type=Path, default=Path("outputs/findings"))
    options = parser.parse_args(arguments)
    known = PROMISES if options.fuzz is None else TARGETS
    for wrong in [name for name in options.only or () if name not in known]:
        parser.error(f"--only {wrong}: known are {', '.join(known)}")
    return options


def _try_all(options: argparse.Namespace, folder: Path) -> int:
    trials = []
    line = Line(folder / "undisturbed")
    for name in options.only or PROMISES:
        tried = PROMISES[name]
        wanted = max(1, round(tried.cases * options.minutes / WHOLE_MINUTES))
        own = folder / name
        own.mkdir()
        began = time.monotonic()
        trial = Trial(zlib.crc32(f"{options.seed}/{name}".encode()), wanted, own, line)
        trials.append((tried, try_promise(tried, trial)))
        _say(name, trial, time.monotonic() - began)
    print(table(trials))
    return 1 if any(trial.failures for _, trial in trials) else 0


def _say(name: str, trial: Trial, seconds: float) -> None:
    failed = len(trial.failures)
    print(f"{name}: {trial.cases:,} cases, {failed:,} failed, {seconds:.0f} s", file=sys.stderr)
    for failure in trial.failures[:MOST_SHOWN]:
        print(f"  {failure}", file=sys.stderr)
    if failed > MOST_SHOWN:
        print(f"  and {failed - MOST_SHOWN:,} more", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
