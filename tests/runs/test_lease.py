"""A run in object storage has one writer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from common.objects import ObjectError
from runs import RunError
from runs.remote import lease
from runs.remote.folder import ObjectFolder
from runs.remote.lease import Lease, RunTaken
from runs.remote.run import RemoteRun
from tests.object_storage import ObjectServer
from tests.runs.remote import make_done


def test_the_same_copy_goes_on_at_once(url: str, tmp_path: Path) -> None:
    """Its own lock shows that who had the run is dead."""
    run = RemoteRun(url, tmp_path)
    with run.lock():
        copy = Lease(ObjectFolder(url), "another")
        with pytest.raises(RunTaken):
            copy.held().__enter__()
    dead = Lease(ObjectFolder(url), "copy")
    dead._take()
    with (
        Lease(ObjectFolder(url), "copy").held(),
        pytest.raises(RunTaken, match="has taken the run"),
    ):
        dead.check()


def test_of_many_that_want_a_run_one_gets_it(url: str) -> None:
    objects, won = ObjectFolder(url), []

    def take(number: int) -> None:
        own = Lease(objects, f"copy {number}")
        try:
            own._take()
        except RunTaken:
            return
        won.append(own)

    for _ in range(3):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(take, range(6)))
        (winner,) = won
        winner.check()
        winner._write(replace(winner._holder, ended=True))
        won.clear()
    assert len(objects.list("LOCK")) == 1


def test_who_was_silent_for_long_loses_the_run(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was stopped and goes on: what the other finished stays as it is."""
    check_overtaken(
        url, tmp_path, monkeypatch, "has taken the run since this command was not heard of"
    )


def test_of_two_that_finish_a_task_the_first_counts(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between its look at the lease and `DONE`, which is all that storage can hold up."""
    monkeypatch.setattr(Lease, "check", lambda self: None)
    check_overtaken(
        url, tmp_path, monkeypatch, "/a: another command finished it meanwhile, and that counts"
    )


def check_overtaken(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Two commands finish a task; the slower one is told, and the other's files stay."""
    slow, other = RemoteRun(url, folder / "slow"), RemoteRun(url, folder / "other")
    with pytest.raises(RunTaken, match=said), slow.lock():
        monkeypatch.setattr(lease, "SILENT_SECONDS", -1.0)
        with other.lock():
            make_done(other.task("a", {}), b"of the other")
        make_done(slow.task("a", {}), b"of the slow one")
    with slow.lock():
        assert slow.task("a", {}).file("weights.bin").read_bytes() == b"of the other"


def test_storage_without_conditions_is_refused(
    url: str, object_server: ObjectServer, tmp_path: Path
) -> None:
    """Two commands could then work on one run."""
    object_server.heeds_conditions = False
    with pytest.raises(RunError, match="writes over objects that are not to be written over"):
        RemoteRun(url, tmp_path).lock().__enter__()


@pytest.mark.parametrize("fault", ["503", "lost"])
def test_a_request_that_fails_is_no_refusal(
    url: str, object_server: ObjectServer, fault: str
) -> None:
    """Nor is one that is tried again: the storage is judged by what it says in the end."""
    objects = ObjectFolder(url)
    objects.write("LOCK/00000001", b"holder")
    for heeds, names in ((False, True), (True, True), (True, False)):
        object_server.heeds_conditions, object_server.names_conditions = heeds, names
        # The library sends a request three times itself.
        object_server.next_faults = [fault] * 3
        assert objects.keeps_conditions("LOCK/00000001") == heeds
        assert not object_server.next_faults
    object_server.forbids = lambda method, path: method == "PUT"
    with pytest.raises(ObjectError, match=r"LOCK/00000001: .*credentials come from"):
        objects.keeps_conditions("LOCK/00000001")
