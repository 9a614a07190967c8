"""A study on PostgreSQL that two programs share, killed again and again at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import optuna
import pandas as pd
from optuna.trial import TrialState

from benchmarks.tuning.comparisons import ROOT
from benchmarks.tuning.server import Server, running

TRIALS = 12
_PROGRAM = (sys.executable, str(ROOT / "orchestrate.py"))
# Of one training on a busy machine; a kill falls anywhere in it.
_LONGEST_SECONDS = 12.0
_PATIENCE_SECONDS = 1800.0
_SETTINGS = (
    *("experiment=smoke", "stage=tune", "jobs=1", f"tune.trials={TRIALS}", "tune.members=[plain]"),
    *("tune.heartbeat_seconds=2", "train.checkpoint_seconds=0", "train.batch_size=4"),
)


def killed_study(kills: int, seed: int = 0) -> pd.DataFrame:
    """Kills programs, workers and the database, then lets the study come to its end.

    Returns:
        How many kills there were of each, and how many trials counted, some of them twice.

    Raises:
        TimeoutError: the study does not come to its end.
    """
    generator, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, running() as server:
        places = [Path(folder) / name for name in ("one", "other")]
        data = Path(folder) / "data"
        made = ("experiment=smoke", "stage=synthesize", f"data.root={data}", f"outputs={folder}")
        subprocess.run([*_PROGRAM, *made], check=True, capture_output=True)
        programs = [_start(place, data, server) for place in places]
        for _ in range(kills):
            time.sleep(generator.uniform(0.5, _LONGEST_SECONDS))
            what = generator.choice(["program", "worker", "database"])
            victim = generator.randrange(len(places))
            counts[what] += 1
            if what == "database":
                server.kill()
                server.start_again()
            elif what == "worker":
                _kill_worker(places[victim])
            else:
                programs[victim].kill()
                programs[victim].wait()
            # Whoever met the kill ends with a line; the same command goes on.
            programs = [
                program if program.poll() is None else _start(place, data, server)
                for place, program in zip(places, programs, strict=True)
            ]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for place, program in zip(places, programs, strict=True):
            while program.wait() != 0:
                program = _start(place, data, server)
                if time.monotonic() > deadline:
                    raise TimeoutError("the study does not come to its end")
        return _outcome(server, counts)


def _start(place: Path, data: Path, server: Server) -> subprocess.Popen[bytes]:
    places = (f"outputs={place}", f"data.root={data}", f"tune.storage='{server.url}'")
    null = subprocess.DEVNULL
    return subprocess.Popen([*_PROGRAM, *_SETTINGS, *places], stdout=null, stderr=null)


def _kill_worker(place: Path) -> None:
    """Kills the process of a training that is not done, if one runs."""
    for lock in (place / "smoke" / "teachers").glob("*/LOCK"):
        if not lock.with_name("DONE").exists():
            with suppress(OSError, ValueError):
                os.kill(int(lock.read_text()), signal.SIGKILL)


def _outcome(server: Server, kills: Counter[str]) -> pd.DataFrame:
    url = server.url.replace("postgresql:", "postgresql+psycopg:")
    (name,) = optuna.get_all_study_names(url)
    trials = optuna.load_study(study_name=name, storage=url).get_trials(deepcopy=False)
    done = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    parameters = Counter(tuple(sorted(trial.params.items())) for trial in done)
    open_states = (TrialState.RUNNING, TrialState.WAITING)
    return pd.DataFrame(
        {
            "kills": dict(kills),
            "trials": {
                "wanted": TRIALS,
                "counted": len(done),
                "counted twice": sum(count - 1 for count in parameters.values()),
                "failed and tried again": sum(t.state == TrialState.FAIL for t in trials),
                "left open": sum(trial.state in open_states for trial in trials),
            },
        }
    )
