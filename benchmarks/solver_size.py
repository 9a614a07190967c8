"""Memory and time of the solver at the winners' size, of generated predictions on disk.

    python -m benchmarks.solver_size
    python -m benchmarks.solver_size --share 0.1

11 students by 8 recipes, 232,000 clips of `search`, 3,862 labels, the 100 best of each clip stored
as a run stores them. One budget, 1 GiB, is solved with the trials that a run has by default, in a
process of its own, which maps the files as stage `pack` does. Shown is the most memory that it held
by then, mapped files included, and what of it came after the imports. `--share` takes so much of
the clips.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.children import in_memory
from benchmarks.generated import RankedClips
from benchmarks.harness import print_figures, timed
from common.threads import POOL_VARIABLE, cores, environment
from ensemble.config import EnsembleConfig
from metrics import Labels
from quantize import Option, Problem
from quantize.selection.solver import Solver
from runs import Predictions

CLIPS, MEMBERS, LABELS, STORED = 232_000, 11, 3862, 100
BUDGET = 2**30
# By recipe, bits of a weight and how far log-odds are off.
RECIPES = {
    "uniform8": (8.0, 0.02),
    "channel4": (4.0, 0.3),
    "channel5": (5.0, 0.15),
    "channel6": (6.0, 0.08),
    "uniform8+head=channel4": (6.5, 0.1),
    "mixed1": (3.0, 0.4),
    "mixed2": (3.5, 0.35),
    "float32": (32.0, 0.0),
}
_BLOCK = 4000
_ROOT = Path(__file__).resolve().parents[1]


def measure(clips: int = CLIPS, members: int = MEMBERS, num_labels: int = LABELS) -> dict[str, Any]:
    """What the process of the solver took.

    Returns:
        `stored_bytes`, of all predictions; `generated_seconds`; `imported`, the bytes that the
        process held before; `peak`, the most that it held; `grown`, what of it came after;
        `solve_seconds`, reading included, and `processor_seconds` of them; and of the solution
        `gap`, whether it is `exact`, `size` and `members`.
    """
    with tempfile.TemporaryDirectory() as folder:
        generated, _ = timed(partial(generate, Path(folder), clips, members, num_labels))
        stored = sum(path.stat().st_size for path in Path(folder).iterdir())
        command = [sys.executable, "-m", "benchmarks.solver_size", "--folder", folder]
        # Libraries with one thread, and a pool on all cores, as the main process of a run has it.
        threads = os.environ | environment(1) | {POOL_VARIABLE: str(cores())}
        made = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, text=True, cwd=_ROOT, env=threads
        )
    return {"stored_bytes": stored, "generated_seconds": generated} | json.loads(made.stdout)


def generate(folder: Path, clips: int, members: int, num_labels: int) -> None:
    """Writes every member by every recipe, and the truth."""
    blocks = [
        RankedClips(start, min(_BLOCK, clips - start), num_labels, STORED)
        for start in range(0, clips, _BLOCK)
    ]
    truth = Labels.concatenate([block.truth() for block in blocks])
    counted = np.array(num_labels)
    np.savez(folder / "truth.npz", offsets=truth.offsets, columns=truth.columns, num_labels=counted)
    errors = [error for _, error in RECIPES.values()]
    # Member by member: all together are more than memory may hold.
    for number in range(members):
        parts = [block.member(number, errors) for block in blocks]
        for recipe, found in zip(RECIPES, zip(*parts, strict=True), strict=True):
            path = folder / f"m{number:02}-{recipe}.safetensors"
            Predictions.concatenate(found).save(path)


def _solve(folder: Path) -> dict[str, Any]:
    """In a process of its own: the figures, less those of generating."""
    before = in_memory("VmHWM")
    truth = np.load(folder / "truth.npz")
    labels = Labels(truth["offsets"], truth["columns"], int(truth["num_labels"]))
    options = [_option(path) for path in sorted(folder.glob("*.safetensors"))]
    # Eleven members at 8 bits are 1.2 GiB: not all fit.
    weights = {name: 90_000_000 + 4_000_000 * n for n, name in enumerate(_members(options))}

    def file_bytes(choice: Mapping[str, str]) -> int:
        parts = (weights[name] * RECIPES[recipe][0] / 8 for name, recipe in choice.items())
        return 100_000 + int(sum(parts))

    problem = Problem(options, labels, file_bytes)
    solver = Solver(problem, trials=EnsembleConfig().trials)
    began = time.process_time()
    solving, found = timed(lambda: solver.solve(BUDGET))
    return {
        "imported": before,
        "peak": in_memory("VmHWM"),
        "grown": in_memory("VmHWM") - before,
        "solve_seconds": solving,
        "processor_seconds": time.process_time() - began,
        "clips": len(labels),
        "gap": found.gap,
        "exact": int(found.exact),
        "size": found.size,
        "members": len(found.choice),
    }


def _option(path: Path) -> Option:
    name, _, recipe = path.stem.partition("-")
    return Option(name, recipe, partial(Predictions.load, path))


def _members(options: list[Option]) -> list[str]:
    return list(dict.fromkeys(option.member for option in options))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solver_size")
    parser.add_argument("--share", type=float, default=1.0, help="of the clips")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.folder:
        print(json.dumps(_solve(settings.folder)))
    else:
        count = round(CLIPS * settings.share)
        title = f"{MEMBERS} students x {len(RECIPES)} recipes, {count:,} clips, {LABELS:,} labels"
        print_figures(f"{title}; wanted: peak 8 GB, solved in 600 s", measure(count))
