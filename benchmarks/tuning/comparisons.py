"""Studies held against each other, each a call of the command line with a run of its own."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]


def samplers(experiment: str, outputs: Path, given: Sequence[str], seeds: int) -> pd.DataFrame:
    """The best score of each study, TPE with Hyperband against random search without pruning.

    That of the first trial, which is the member as it stands, is `as it is` and counts for neither.
    """
    rivals = {
        "tpe, hyperband": ("tune.sampler=tpe", "tune.pruner=hyperband"),
        "random, none": ("tune.sampler=random", "tune.pruner=none"),
    }
    rows = []
    for seed in range(seeds):
        for name, settings in rivals.items():
            run = outputs / f"{name.replace(', ', '-')}-{seed}"
            call("tune", experiment, run, [f"seed={seed}", *settings, *given])
            for member, trials in trials_of(run).items():
                row = {"member": member, "seed": seed, "by": name, "best": best(trials[1:])}
                rows.append(row | {"as it is": best(trials[:1]), "trials": len(trials) - 1})
    table = pd.DataFrame(rows).pivot(index=["member", "seed"], columns="by")
    means = table.groupby("member").mean()
    means.index = pd.MultiIndex.from_product([means.index, ["mean"]])
    return pd.concat([table, means])


def workers(experiment: str, outputs: Path, given: Sequence[str]) -> pd.DataFrame:
    """Trials of each study in the same minutes, by one process at a time and by two."""
    rows = []
    for jobs in (1, 2):
        run = outputs / f"jobs-{jobs}"
        seconds = call("tune", experiment, run, [f"jobs={jobs}", *given])
        count = sum(len(trials) for trials in trials_of(run).values())
        row = {"jobs": jobs, "trials": count, "seconds": seconds}
        rows.append(row | {"trials a minute": 60 * count / seconds})
    table = pd.DataFrame(rows).set_index("jobs")
    table["ratio"] = table["trials a minute"] / table["trials a minute"].iloc[0]
    return table


def members(
    experiment: str, outputs: Path, given: Sequence[str], own: Sequence[str]
) -> pd.DataFrame:
    """What a whole run scores on `report`, of the members as they are and of tuned ones.

    Args:
        experiment: a name or a path.
        outputs: the folder of the runs.
        given: overrides of both.
        own: overrides of the studies.
    """
    rows = {}
    for name, settings in (("hand-set", ()), ("tuned", own)):
        run = outputs / name
        seconds = call("all", experiment, run, [*given, *settings])
        receipt = json.loads((run / "bundle" / "receipt.json").read_text())
        figures = ("gap", "gap_error", "map", "map_error", "map_at_10", "bytes")
        rows[name] = {key: receipt[key] for key in figures} | {"seconds": seconds}
    return pd.DataFrame(rows)


def call(stage: str, experiment: str, run: Path, overrides: Sequence[str]) -> float:
    """Runs a stage; how many seconds it took.

    Raises:
        subprocess.CalledProcessError: it failed, and has said why.
    """
    command = [sys.executable, str(ROOT / "orchestrate.py"), f"stage={stage}"]
    place = [f"experiment={experiment}", f"outputs={run.parent}", f"run={run.name}"]
    began = time.monotonic()
    subprocess.run([*command, *place, *overrides], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def trials_of(run: Path) -> dict[str, list[dict[str, str]]]:
    """The trials of each study that were trained, whole or in part, by member."""
    found = {}
    for path in sorted((run / "tune").glob("*.csv")):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        found[path.stem] = [row for row in rows if row["state"] in ("kept", "complete", "pruned")]
    return found


def best(trials: Sequence[Mapping[str, str]], objective: str = "gap") -> float:
    """The best score of the trials that were trained to their end; NaN where there are none."""
    ended = (row for row in trials if row["state"] in ("kept", "complete"))
    return max((float(row[objective]) for row in ended), default=math.nan)
