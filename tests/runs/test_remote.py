"""A run in object storage keeps what a run in a folder keeps: a task is whole or absent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.objects import ObjectError, StoredObject
from runs import RunError
from runs.remote import lease, uploads, working_copy
from runs.remote.folder import ObjectFolder
from runs.remote.lease import RunTaken
from runs.remote.names import names_in
from runs.remote.run import RemoteRun
from tests.object_storage import SECRET, ObjectServer
from tests.runs.remote import make_done, names


def test_what_one_machine_finished_another_has(url: str, tmp_path: Path) -> None:
    here, there = RemoteRun(url, tmp_path / "here"), RemoteRun(url, tmp_path / "there")
    with here.lock():
        done = make_done(here.task("teachers/vlad", {"rate": 0.1}))
        here.publish()
        (here.root / "plan.json").write_text("{}")
    with there.lock():
        task = there.task("teachers/vlad", {"rate": 0.1})
        assert task.is_done() and task.digest() == done.digest()
        assert (task.folder / "log.txt").read_text() == "as it went"
        assert (there.root / "plan.json").read_text() == "{}"
        assert not there.task("teachers/vlad", {"rate": 0.2}).is_done()


def test_done_is_put_last_and_nothing_twice(
    url: str, object_server: ObjectServer, tmp_path: Path
) -> None:
    run = RemoteRun(url, tmp_path)
    with run.lock():
        make_done(run.task("a", {}))
    start = len(object_server.paths)
    own = url.removeprefix("s3:/")
    puts = [path.removeprefix(f"{own}/") for method, path in object_server.paths if method == "PUT"]
    puts = [path for path in puts if path.startswith("a/")]
    assert (puts[0], puts[-1]) == ("a/task.json", "a/DONE")
    assert sorted(puts[1:-1]) == ["a/log.txt", "a/weights.bin"]
    with run.lock():
        assert run.task("a", {}).is_done()
    later = [path for method, path in object_server.paths[start:] if method in ("GET", "PUT")]
    assert not [path for path in later if "/a/" in path]


KILLED = """
import os, sys
from pathlib import Path
from runs.remote import folder
from runs.remote.run import RemoteRun

put = folder.ObjectFolder.put
def killed(self, files):
    put(self, {name: path for name, path in files.items() if name != sys.argv[3]})
    if sys.argv[3] in files:
        os.kill(os.getpid(), 9)
folder.ObjectFolder.put = killed
create = folder.ObjectFolder.create
def killed_too(self, name, data):
    if name == sys.argv[3]:
        os.kill(os.getpid(), 9)
    return create(self, name, data)
folder.ObjectFolder.create = killed_too

run = RemoteRun(sys.argv[1], Path(sys.argv[2]))
with run.lock():
    task = run.task("a", {})
    task.prepare()
    (task.folder / "weights.bin").write_bytes(b"weights")
    task.finish(["weights.bin"], {})
"""


@pytest.mark.parametrize("at", ["a/weights.bin", "a/task.json", "a/DONE"])
def test_killed_before_done_a_task_is_absent(
    url: str, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", KILLED, url, str(tmp_path / "here"), at]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert at not in names(url) and "a/DONE" not in names(url)
    there = RemoteRun(url, tmp_path / "there")
    with pytest.raises(RunTaken, match=r"is in use by process \d+ on .*: wait for it to end"):
        there.lock().__enter__()
    monkeypatch.setattr(lease, "SILENT_SECONDS", -1.0)
    with there.lock():
        assert not there.task("a", {}).is_done()
    # The machine of the killed one has what it had finished.
    here = RemoteRun(url, tmp_path / "here")
    with here.lock():
        assert here.task("a", {}).is_done()
    with there.lock():
        assert there.task("a", {}).is_done()


def test_what_is_made_again_takes_the_place(url: str, tmp_path: Path) -> None:
    run, other = RemoteRun(url, tmp_path / "here"), RemoteRun(url, tmp_path / "there")
    with run.lock():
        make_done(run.task("a", {"rate": 1}))
        (run.root / "a" / "old.txt").write_text("")
    with other.lock():
        # Other inputs, and other code with the same inputs.
        make_done(other.task("a", {"rate": 2}), b"second")
    with other.lock():
        task = other.task("a", {"rate": 2})
        task.prepare()
        (task.folder / "task.json").unlink()
        make_done(task, b"third")
    with run.lock():
        assert not run.task("a", {"rate": 1}).is_done()
        assert run.task("a", {"rate": 2}).file("weights.bin").read_bytes() == b"third"
        assert not (run.root / "a" / "old.txt").exists()


def test_a_damaged_object_is_named_and_made_again(
    url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, other = RemoteRun(url, tmp_path / "here"), RemoteRun(url, tmp_path / "there")
    with run.lock():
        make_done(run.task("a", {}))
    ObjectFolder(url).write("a/weights.bin", b"Weights")
    with other.lock():
        assert f"{url}/a: is damaged; has to be made again" in capfd.readouterr().err
        task = other.task("a", {})
        assert not task.is_done()
        make_done(task)
    third = RemoteRun(url, tmp_path / "third")
    with third.lock():
        assert third.task("a", {}).is_done()
    # Damage here is repaired from there.
    (third.root / "a" / "weights.bin").write_bytes(b"Weights")
    with third.lock():
        assert third.task("a", {}).is_done()


def test_a_machine_goes_on_from_the_checkpoint_of_another(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put now and then, and when a command ends; a database only then."""
    monkeypatch.setattr(uploads, "BEGUN_SECONDS", 0.05)
    run, other = RemoteRun(url, tmp_path / "here"), RemoteRun(url, tmp_path / "there")
    with run.lock():
        task = run.task("a", {})
        task.prepare()
        (task.folder / "checkpoint.bin").write_bytes(b"step 7")
        (run.root / "tune").mkdir()
        (run.root / "tune" / "studies.db").write_bytes(b"half")
        while "a/checkpoint.bin" not in names(url):
            pass
        assert "a/task.json" in names(url) and "tune/studies.db" not in names(url)
        (run.root / "tune" / "studies.db").write_bytes(b"whole")
    with other.lock():
        task = other.task("a", {})
        assert not task.is_done()
        task.prepare()
        assert (task.folder / "checkpoint.bin").read_bytes() == b"step 7"
        assert (other.root / "tune" / "studies.db").read_bytes() == b"whole"
        (task.folder / "checkpoint.bin").unlink()
        make_done(task)
    assert "a/checkpoint.bin" not in names(url)


def test_a_task_that_is_finished_while_it_is_put_is_put_whole(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`DONE` does not go before files that were not there when its folder was looked at."""
    run, there = RemoteRun(url, tmp_path / "here"), RemoteRun(url, tmp_path / "there")
    with run.lock():
        copy, _ = run._holding()
        task = run.task("a", {})
        task.prepare()

        def finished_then(root: Path, below: str = "") -> list[str]:
            found = names_in(root, below)
            if not task.is_done():
                make_done(task)
            return found

        monkeypatch.setattr(working_copy, "names_in", finished_then)
        copy.push(begun=True)
        assert names(url) == ["a/task.json"]
    with there.lock():
        assert there.task("a", {}).is_done()


def test_what_stages_remove_goes_there_too(url: str, tmp_path: Path) -> None:
    run = RemoteRun(url, tmp_path / "here")
    with run.lock():
        make_done(run.task("bundle/1MB", {}))
        make_done(run.task("bundle/2MB", {}))
        (run.root / "report.html").write_text("page")
    with run.lock():
        for name in os.listdir(run.root / "bundle" / "1MB"):
            (run.root / "bundle" / "1MB" / name).unlink()
        (run.root / "report.html").unlink()
    kept = ["DONE", "log.txt", "task.json", "weights.bin"]
    assert names(url) == [f"bundle/2MB/{name}" for name in kept]


def test_a_copy_that_is_gone_is_fetched_and_deletes_nothing(url: str, tmp_path: Path) -> None:
    run = RemoteRun(url, tmp_path / "here")
    with run.lock():
        make_done(run.task("a", {}))
    before = names(url)
    with run.lock():
        for path in sorted(run.root.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    assert names(url) == before
    with run.lock():
        assert run.task("a", {}).is_done()


def test_a_fetch_that_was_cut_short_is_done_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RemoteRun(url, tmp_path / "here")
    with run.lock():
        make_done(run.task("a", {}))
    (run.root / "a" / "weights.bin").write_bytes(b"Weights")
    get = ObjectFolder.get

    def get_without_done(self: ObjectFolder, found: list[StoredObject], root: Path) -> None:
        if [each.name for each in found] == ["a/DONE"]:
            raise ObjectError("no answer")
        get(self, found, root)

    with monkeypatch.context() as patched:
        patched.setattr(ObjectFolder, "get", get_without_done)
        with pytest.raises(ObjectError, match="no answer"):
            run.lock().__enter__()
    assert not run.task("a", {}).is_done()
    with run.lock():
        assert run.task("a", {}).is_done()


def test_what_is_removed_there_goes_here_too(url: str, tmp_path: Path) -> None:
    """But for all at once: that is a bucket that somebody emptied, and the copy has it still."""
    run, objects = RemoteRun(url, tmp_path / "here"), ObjectFolder(url)
    with run.lock():
        make_done(run.task("a", {}))
        make_done(run.task("b", {}))
        (run.root / "report.html").write_text("page")
    objects.delete(["report.html", *(name for name in names(url) if name.startswith("a/"))])
    with run.lock():
        assert not run.task("a", {}).is_done() and run.task("b", {}).is_done()
        assert [path.name for path in (run.root / "a").iterdir()] == ["LOCK"] or not (
            list((run.root / "a").iterdir())
        )
        assert not (run.root / "report.html").exists()
    before = names(url)
    objects.delete(before)
    with run.lock():
        assert run.task("b", {}).is_done()
    assert names(url) == before


def test_storage_that_refuses_loses_nothing_here(
    url: str, object_server: ObjectServer, tmp_path: Path
) -> None:
    run = RemoteRun(url, tmp_path)
    with pytest.raises(RunError) as refused, run.lock():
        object_server.forbids = lambda method, path: (
            method == "PUT" and path.endswith("weights.bin")
        )
        make_done(run.task("a", {}))
    assert re.fullmatch(
        rf"{url}/a/weights\.bin: .*; credentials come from .*; nothing is lost here: give the "
        "command again",
        str(refused.value),
    )
    assert "a/DONE" not in names(url)
    object_server.forbids = lambda method, path: False
    with run.lock():
        assert run.task("a", {}).is_done()
    assert "a/DONE" in names(url)
    object_server.forbids = lambda method, path: True
    with pytest.raises(ObjectError, match=rf"^{url}/LOCK: .*credentials come from the environment"):
        run.lock().__enter__()


def test_one_request_in_twenty_may_fail(
    url: str, object_server: ObjectServer, tmp_path: Path
) -> None:
    object_server.failures = 0.05
    runs = [RemoteRun(url, tmp_path / name) for name in ("here", "there")]
    for number in range(6):
        run = runs[number % 2]
        with run.lock():
            for before in range(number):
                assert run.task(f"t{before}", {}).is_done()
            make_done(run.task(f"t{number}", {}), bytes([number]) * 1000)
    assert object_server.failed > 2
    assert sum(name.endswith("/DONE") for name in names(url)) == 6


def test_names_of_one_machine_stay_there(url: str, tmp_path: Path) -> None:
    objects = ObjectFolder(url)
    for name in (
        "COPY",
        "a/LOCK",
        "a/.weights.bin.123.tmp",
        "tune/studies.db-journal",
        "a\x1b[2J",
        "plan.json",
    ):
        objects.write(name, b"{}")
    run = RemoteRun(url, tmp_path)
    with run.lock():
        assert (run.root / "plan.json").read_text() == "{}"
    assert (run.root / "COPY").read_text() != "{}"
    files = {path.name for path in run.root.rglob("*") if path.is_file()}
    assert files == {"COPY", "LOCK", "plan.json"}


def test_no_file_and_no_object_has_a_secret(url: str, tmp_path: Path) -> None:
    run = RemoteRun(url, tmp_path)
    with run.lock():
        make_done(run.task("a", {}))
    objects = ObjectFolder(url)
    written = [objects.read(name) or b"" for name in objects.list()]
    written += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 8
    assert not any(SECRET.encode() in each for each in written)
