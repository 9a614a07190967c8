"""Tasks of a run in object storage on nodes that share nothing else with who hands them over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from common.objects import ObjectError
from runs import Job, Task
from runs.remote import node, uploads
from runs.remote.folder import ObjectFolder
from runs.remote.handed import Handed
from runs.remote.lease import RunTaken
from runs.remote.node import NodeTask
from runs.remote.run import RemoteRun
from runs.remote.tails import Tails, write_tails
from tests.object_storage import ObjectServer
from tests.runs.remote import make_done, names

INPUTS = {"rate": 0.1}
_UNHEARD: list[Tails] = []


def hand_over(run: RemoteRun, reads: tuple[str, ...] = ()) -> tuple[Job, Handed]:
    """The task `b` of a run, prepared and handed over."""
    task = run.task("b", INPUTS)
    task.prepare()
    (task.folder / "log.txt").write_text("before\n")
    folder = task.folder.resolve()
    paths = tuple(run.root.resolve() / name for name in reads)
    job = Job("b", folder, ("python", "-m", "worker", str(folder)), reads=paths)
    return job, run.hand_over(job)


@contextmanager
def on_node(
    run: RemoteRun, job: Job, handed: Handed, copies: Path, told: list[Tails] = _UNHEARD
) -> Iterator[tuple[Handed, Task]]:
    """Works on a task on a node that has its copies there."""
    given = replace(run.give(handed), copies=copies)
    with NodeTask(given, told.append).working(job) as own:
        assert own.folder == given.node_root / "b" and own.command[-1] == str(own.folder)
        yield given, Task("b", own.folder, INPUTS)


def finish(task: Task) -> None:
    (task.folder / "weights.bin").write_bytes(b"weights")
    with (task.folder / "log.txt").open("a") as log:
        log.write("as it went\n")
    task.finish(["weights.bin"], {})


def test_a_node_fetches_what_a_task_reads_and_puts_what_it_makes(
    url: str, object_server: ObjectServer, tmp_path: Path
) -> None:
    """One request in twenty fails, and what one task has fetched the next one does not."""
    object_server.failures = 0.05
    run, told = RemoteRun(url, tmp_path / "here"), list[Tails]()
    with run.lock():
        make_done(run.task("teachers/a", {}))
        make_done(run.task("teachers/other", {}))
        (run.root / "index").mkdir()
        (run.root / "index" / "train.index").write_bytes(b"rows")
        job, handed = hand_over(run, ("teachers/a", "index"))
        assert not (job.folder / "task.json").exists() and "b/DONE" not in names(url)
        with on_node(run, job, handed, tmp_path / "node", told) as (given, task):
            root = given.node_root
            assert Task("teachers/a", root / "teachers" / "a", {}).is_done()
            assert (root / "index" / "train.index").read_bytes() == b"rows"
            assert not (root / "teachers" / "other").exists()
            # What a node makes of an index is its own.
            (root / "index" / "train.index").write_bytes(b"other")
            (root / "index" / "further.index").write_bytes(b"other")
            finish(task)
        for tails in told:
            write_tails(job.folder, tails)
        assert (job.folder / "log.txt").read_text() == "before\nas it went\n"
        assert not run.task("b", INPUTS).is_done()
        run.take_back(given)
        assert run.task("b", INPUTS).file("weights.bin").read_bytes() == b"weights"
        start = len(object_server.paths)
        job, handed = hand_over(run, ("teachers/a", "index"))
        with on_node(run, job, handed, tmp_path / "node"):
            pass
        gets = [path for method, path in object_server.paths[start:] if method == "GET"]
        assert not [path for path in gets if path.endswith(("a/weights.bin", "train.index"))]
        run.take_back(handed)
    own = f"{url.removeprefix('s3:/')}/b/"
    puts = [path.removeprefix(own) for method, path in object_server.paths if method == "PUT"]
    assert puts.index("DONE") > puts.index("weights.bin")
    assert (run.root / "index" / "train.index").read_bytes() == b"rows"
    assert "index/further.index" not in names(url) and "b/GIVEN" not in names(url)
    assert object_server.failed > 2


def test_another_node_goes_on_from_the_checkpoint_and_the_first_writes_no_more(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "BEGUN_SECONDS", 0.05)
    run, objects = RemoteRun(url, tmp_path / "here"), ObjectFolder(url)
    with run.lock():
        job, handed = hand_over(run)
        with (
            pytest.raises(RunTaken, match="/b: was given to another node meanwhile"),
            on_node(run, job, handed, tmp_path / "cut-off") as (_, first),
        ):
            (first.folder / "checkpoint.bin").write_bytes(b"step 7")
            while "b/checkpoint.bin" not in names(url):
                pass
            with on_node(run, job, handed, tmp_path / "next") as (given, second):
                assert (second.folder / "checkpoint.bin").read_bytes() == b"step 7"
                (first.folder / "checkpoint.bin").write_bytes(b"step 8")
                first.finish([], {})
                (second.folder / "checkpoint.bin").unlink()
                finish(second)
        assert objects.read("b/weights.bin") == b"weights" and "b/checkpoint.bin" not in names(url)
        run.take_back(given)
        assert run.task("b", INPUTS).is_done()


def test_what_was_handed_over_is_fetched_by_the_next_command(url: str, tmp_path: Path) -> None:
    """Whatever became of the one that handed it over; its nodes write no more then."""
    run = RemoteRun(url, tmp_path / "here")
    with run.lock():
        job, handed = hand_over(run)
        with on_node(run, job, handed, tmp_path / "node") as (_, task):
            (task.folder / "checkpoint.bin").write_bytes(b"step 7")
    with run.lock():
        assert (run.root / "b" / "checkpoint.bin").read_bytes() == b"step 7"
        assert (run.root / "b" / "task.json").exists()
        with (
            pytest.raises(RunTaken, match="has taken the run since"),
            NodeTask(replace(handed, copies=tmp_path / "late"), _UNHEARD.append).working(job),
        ):
            pass


def test_what_could_not_be_put_is_not_made_again(
    url: str, object_server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "_PUT_PAUSE", 0.0)
    monkeypatch.setattr(node, "_PUTS", 2)
    run = RemoteRun(url, tmp_path / "here")
    with run.lock():
        job, handed = hand_over(run)
        with pytest.raises(ObjectError), on_node(run, job, handed, tmp_path / "node") as (_, task):
            finish(task)
            object_server.forbids = lambda method, path: method == "PUT"
        object_server.forbids = lambda method, path: False
        with on_node(run, job, handed, tmp_path / "node") as (_, task):
            assert task.is_done()
        run.take_back(handed)
        assert run.task("b", INPUTS).is_done()
        assert "it is put again" in (run.root / "b" / "log.txt").read_text()


def test_of_a_lost_node_its_last_words_are_kept_and_of_an_unwanted_task_nothing(
    url: str, tmp_path: Path
) -> None:
    run = RemoteRun(url, tmp_path / "here")
    with run.lock():
        job, handed = hand_over(run)
        write_tails(job.folder, {"log.txt": (7, b"last words\n"), "metrics.jsonl": (0, b"{}\n")})
        run.take_back(run.give(handed))
        assert (job.folder / "log.txt").read_text() == "before\nlast words\n"
        assert (job.folder / "task.json").exists()
        assert not (job.folder / "metrics.jsonl").exists()
        run.give(hand_over(run)[1])
        shutil.rmtree(job.folder)
    assert not names(url)
