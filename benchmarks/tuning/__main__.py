"""Studies of hyperparameters: what they take, and what they find.

    python -m benchmarks.tuning overhead --trials 1000
    python -m benchmarks.tuning samplers audioset --minutes 20 --seeds 3 -- data.root=/path
    python -m benchmarks.tuning workers audioset --trials 40 -- data.root=/path
    python -m benchmarks.tuning members audioset --trials 40 -- data.root=/path
    python -m benchmarks.tuning kills --kills 20

Runs go to `--outputs` (outputs/tuning). Overrides stand behind `--`, such as `tune.members`, which
says whose studies.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import print_table
from benchmarks.tuning import comparisons
from benchmarks.tuning.kills import killed_study
from benchmarks.tuning.overhead import measure


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning")
    parser.add_argument("what", choices=["overhead", "samplers", "workers", "members", "kills"])
    parser.add_argument("experiment", nargs="?", default="smoke")
    parser.add_argument("--trials", type=int, help="of each study")
    parser.add_argument("--minutes", type=float, help="of each call")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--outputs", type=Path, default=Path("outputs/tuning"))
    own, given = _parted(sys.argv[1:] if arguments is None else arguments)
    settings = parser.parse_args(own)
    # Where minutes are given, they end the studies.
    trials = settings.trials or (100_000 if settings.minutes else 40)
    limits = [f"tune.trials={trials}"]
    if settings.minutes:
        limits.append(f"tune.minutes={settings.minutes}")
    experiment, outputs = settings.experiment, settings.outputs
    try:
        match settings.what:
            case "overhead":
                trials = settings.trials or 1000
                print_table(f"milliseconds by trial, {trials} trials", measure(trials))
            case "samplers":
                table = comparisons.samplers(experiment, outputs, [*limits, *given], settings.seeds)
                print_table("best score on search", table)
            case "workers":
                table = comparisons.workers(experiment, outputs, [*limits, *given])
                print_table("processes at once", table)
            case "members":
                table = comparisons.members(experiment, outputs, given, limits)
                print_table("on report", table)
            case "kills":
                print_table("killed studies", killed_study(settings.kills))
    except subprocess.CalledProcessError:
        return 1
    return 0


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before `--`, and behind it."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    return list(arguments[:end]), list(arguments[end + 1 :])


if __name__ == "__main__":
    sys.exit(main())
