"""Several processes on one study, in a real PostgreSQL, one of them killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from benchmarks.tuning.server import Server, running
from tests.line import wait_for
from tests.tune.worker import TRIALS
from tune.config import TuneConfig
from tune.errors import TuneError
from tune.space import Range
from tune.storage import Heartbeats, StudyStorage
from tune.study import UNTRAINED, MemberStudy, StudySetting

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as own:
        yield own


def start(server: Server, folder: Path, name: str, seconds: float) -> subprocess.Popen[str]:
    program = str(Path(__file__).with_name("worker.py"))
    return subprocess.Popen(
        [sys.executable, program, server.url, str(folder), name, str(seconds)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )


def begun(folder: Path, name: str) -> list[str]:
    """The trials that a process began so far, as it wrote them."""
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def trials(server: Server, folder: Path) -> list[FrozenTrial]:
    storage = StudyStorage(folder, server.url, 1)
    setting = StudySetting("shared", {"config.x": Range(0.0, 1.0)}, {}, 0, "reader")
    config = TuneConfig(trials=TRIALS)
    try:
        with Heartbeats(storage) as heartbeats:
            return MemberStudy(storage, setting, config, heartbeats, lambda _: None).trials()
    finally:
        storage.close()


def test_a_killed_processs_trial_is_tried_by_another_and_all_count_once(
    server: Server, tmp_path: Path
) -> None:
    # The victim hangs in its second trial; the other one has all the time that it needs.
    victim = start(server, tmp_path, "victim", 0.1)
    other = start(server, tmp_path, "other", 0.6)
    try:
        assert wait_for(lambda: len(begun(tmp_path, "victim")) > 1, victim)
        victim.kill()
        victim.wait()
        assert other.wait(timeout=300) == 0
    finally:
        victim.kill()
        other.kill()
    lost = begun(tmp_path, "victim")[-1].split()
    found = trials(server, tmp_path)
    done = [trial for trial in found if trial.state == TrialState.COMPLETE]
    assert len(done) == TRIALS and not any(UNTRAINED in trial.user_attrs for trial in found)
    # It may have been told of its last one; if not, the other was given the same values.
    number, x = int(lost[0]), float(lost[1])
    assert found[number].state in (TrialState.COMPLETE, TrialState.FAIL)
    assert sum(trial.params["config.x"] == x for trial in done) == 1
    assert {trial.state for trial in found} <= {TrialState.COMPLETE, TrialState.FAIL}
    assert [trial.number for trial in found] == list(range(len(found)))


def test_the_password_is_in_no_message_and_the_database_is_named(
    server: Server, tmp_path: Path
) -> None:
    password = "pAssw0rdOfMine"
    url = server.url_with_password(password)
    storage = StudyStorage(tmp_path, url, 1)
    assert password not in storage.place and storage.place.startswith("postgresql://studies")
    storage.close()
    with pytest.raises(TuneError) as refused:
        StudyStorage(tmp_path, url.replace("/postgres?", "/nothing?"), 1)
    assert password not in str(refused.value) and "nothing" in str(refused.value)
    assert not list(tmp_path.iterdir())
