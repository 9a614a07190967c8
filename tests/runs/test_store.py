"""A task is complete when, and only when, its DONE stands."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest

from runs import Run, RunError, Task

# A fork starts at once; a new interpreter would import everything first.
FORK = multiprocessing.get_context("fork")


def make_done(task: Task, content: bytes = b"weights") -> Task:
    task.prepare()
    (task.folder / "weights.bin").write_bytes(content)
    task.finish(["weights.bin"], {"gap": 0.5})
    return task


def test_a_task_from_start_to_done(tmp_path: Path) -> None:
    task = Run(tmp_path).task("teachers/netvlad-0", {"rate": 0.1})
    assert not task.is_done()
    task.prepare()
    assert not task.is_done()
    assert json.loads((task.folder / "task.json").read_text()) == {
        "key": task.key,
        "inputs": {"rate": 0.1},
    }
    make_done(task)
    assert task.is_done()
    assert task.summary() == {"gap": 0.5}
    assert Run(tmp_path).task("teachers/netvlad-0", {"rate": 0.1}).is_done()


def test_other_inputs_are_another_task(tmp_path: Path) -> None:
    make_done(Run(tmp_path).task("a", {"rate": 0.1}))
    other = Run(tmp_path).task("a", {"rate": 0.2})
    assert not other.is_done() and other.damaged() is None
    with pytest.raises(RunError, match="not done"):
        other.summary()


def test_a_missing_or_shorter_file_undoes_a_task(tmp_path: Path) -> None:
    task = make_done(Run(tmp_path).task("a", {}))
    (task.folder / "weights.bin").write_bytes(b"short")
    assert not task.is_done()
    (task.folder / "weights.bin").unlink()
    assert not task.is_done()


def flip_bit(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_flipped_bit_of_a_file_undoes_a_task(tmp_path: Path) -> None:
    task = make_done(Run(tmp_path).task("a", {}))
    path, times = task.folder / "weights.bin", task.folder.stat()
    assert task.is_done() and task.file("weights.bin") == path
    # Within one process too, where it has been found sound before.
    for expected in ("weights.bin", None):
        before = path.stat()
        while path.stat().st_ctime_ns == before.st_ctime_ns:
            flip_bit(path, 11)
            flip_bit(path, 11)
        flip_bit(path, 11)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert task.damaged() == expected
        assert task.is_done() is (expected is None)
        if expected:
            with pytest.raises(RunError, match=r"weights\.bin: .* damaged; give the command again"):
                task.file("weights.bin")
            assert task.digest() and task.summary()


def test_a_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_done(Run(tmp_path).task("a", {}))
    assert task.is_done()
    monkeypatch.setattr("runs.checksums.sha256_file", lambda path: pytest.fail("hashed again"))
    assert task.is_done() and task.file("weights.bin")
    with pytest.raises(RunError, match="other"):
        task.file("other")


def test_any_flipped_bit_of_the_marker_undoes_a_task(tmp_path: Path) -> None:
    task = make_done(Run(tmp_path).task("a", {}))
    place = task.folder / "DONE"
    for bit in range(0, 8 * place.stat().st_size, 11):
        flip_bit(place, bit)
        assert not task.is_done() and task.damaged() == "DONE", bit
        with pytest.raises(RunError, match="not done"):
            task.digest()
        flip_bit(place, bit)
    assert task.is_done() and task.damaged() is None


def test_a_marker_of_the_first_version_stands(tmp_path: Path) -> None:
    """It has no checksum: what it covers is verified all the same."""
    task = make_done(Run(tmp_path).task("a", {}))
    marker = json.loads((task.folder / "DONE").read_text())
    del marker["checksum"]
    (task.folder / "DONE").write_text(json.dumps(marker))
    assert task.is_done()
    (task.folder / "weights.bin").write_bytes(b"Weights")
    assert task.damaged() == "weights.bin"


BROKEN = [
    "",
    "{}",
    "[]",
    '{"key": 1, "files": [], "summary": {}}',
    '{"key": "KEY", "files": {}}',
    '{"key": "KEY", "files": {}, "summary": []}',
    '{"key": "KEY", "files": {}, "summary": {}, "more": 1}',
    '{"key": "KEY", "files": {"weights.bin": {"size": 7.0, "sha256": ""}}, "summary": {}}',
    '{"key": "KEY", "files": {"weights.bin": {"size": 7}}, "summary": {}}',
]


@pytest.mark.parametrize("done", BROKEN)
def test_a_broken_marker_is_no_marker(tmp_path: Path, done: str) -> None:
    task = make_done(Run(tmp_path).task("a", {}))
    (task.folder / "DONE").write_text(done.replace("KEY", task.key))
    assert not task.is_done()
    with pytest.raises(RunError, match="not done"):
        task.summary()


def test_a_summary_is_a_mapping_or_a_dataclass(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Figures:
        gap: float
        clips: int

    task = Run(tmp_path).task("a", {})
    task.prepare()
    task.finish([], Figures(0.5, 3))
    assert task.summary() == {"gap": 0.5, "clips": 3}
    with pytest.raises(RunError, match=r"summary\.gap: nan is not finite"):
        task.finish([], {"gap": float("nan")})


def test_the_digest_is_that_of_the_files(tmp_path: Path) -> None:
    one = make_done(Run(tmp_path).task("one", {"seed": 1}))
    same = make_done(Run(tmp_path).task("same", {"seed": 2}))
    other = make_done(Run(tmp_path).task("other", {"seed": 1}), b"WEIGHTS")
    assert one.digest() == same.digest() != other.digest()
    with pytest.raises(RunError, match="task none is not done"):
        Run(tmp_path).task("none", {}).digest()


def test_prepare_keeps_what_the_same_inputs_left(tmp_path: Path) -> None:
    task = Run(tmp_path).task("a", {"rate": 0.1})
    task.prepare()
    (task.folder / "checkpoint.safetensors").write_bytes(b"half way")
    (task.folder / ".checkpoint.safetensors.0123.tmp").write_bytes(b"torn")
    Run(tmp_path).task("a", {"rate": 0.1}).prepare()
    assert sorted(os.listdir(task.folder)) == ["checkpoint.safetensors", "task.json"]


def test_prepare_removes_what_other_inputs_left(tmp_path: Path) -> None:
    make_done(Run(tmp_path).task("a", {"rate": 0.1}))
    task = Run(tmp_path).task("a", {"rate": 0.2})
    (task.folder / "events").mkdir()
    (task.folder / "events" / "one").write_bytes(b"")
    for kept in ("LOCK", "log.txt", "progress.jsonl"):
        (task.folder / kept).write_bytes(b"")
    task.prepare()
    assert sorted(os.listdir(task.folder)) == ["LOCK", "log.txt", "progress.jsonl", "task.json"]


def test_prepare_undoes_a_task(tmp_path: Path) -> None:
    task = make_done(Run(tmp_path).task("a", {}))
    task.prepare()
    assert not task.is_done()
    assert (task.folder / "weights.bin").exists()


@pytest.mark.parametrize("name", ["missing", "../outside", "/etc/hostname", "."])
def test_finish_refuses_what_is_no_file_of_the_task(tmp_path: Path, name: str) -> None:
    task = Run(tmp_path).task("a", {})
    task.prepare()
    (tmp_path / "outside").write_bytes(b"")
    with pytest.raises(RunError, match="task a"):
        task.finish([name], {})
    assert not task.is_done()


def test_finish_refuses_a_folder_that_another_key_took(tmp_path: Path) -> None:
    task = Run(tmp_path).task("a", {"rate": 0.1})
    task.prepare()
    Run(tmp_path).task("a", {"rate": 0.2}).prepare()
    with pytest.raises(RunError, match="not prepared"):
        task.finish([], {})


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "a//b", "a/", ".hidden", "a b", "a\n"])
def test_names_that_are_no_plain_path_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="task"):
        Run(tmp_path).task(name, {})


def hold(root: Path, what: str, fork: bool, held: Connection) -> None:
    run = Run(root)
    with run.lock() if what == "run" else run.task("a", {}).lock():
        if fork and os.fork() == 0:
            time.sleep(2)
            os._exit(0)
        held.send(True)
        time.sleep(60)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[..., ForkProcess]]:
    """Starts a process that holds a lock, and returns once it does."""
    started: list[ForkProcess] = []

    def start(what: str, fork: bool = False) -> ForkProcess:
        receive, send = FORK.Pipe()
        process = FORK.Process(target=hold, args=(tmp_path, what, fork, send))
        process.start()
        started.append(process)
        assert receive.recv()
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_a_second_process_on_a_run_is_refused_until_the_first_is_killed(
    tmp_path: Path, holder: Callable[..., ForkProcess]
) -> None:
    process = holder("run")
    with (
        pytest.raises(RunError, match=f"in use by process {process.pid}"),
        Run(tmp_path).lock(),
    ):
        pass
    process.kill()
    process.join()
    with Run(tmp_path).lock():
        pass


def test_a_task_waits_for_its_dying_predecessor(
    tmp_path: Path, holder: Callable[..., ForkProcess]
) -> None:
    process = holder("task")
    task = Run(tmp_path).task("a", {})
    with pytest.raises(RunError, match="task a is in use"), task.lock(timeout=0.1):
        pass
    threading.Timer(0.3, process.kill).start()
    with task.lock():
        task.prepare()
    assert (task.folder / "LOCK").exists()


def test_a_fork_does_not_keep_the_lock_of_its_dead_parent(
    tmp_path: Path, holder: Callable[..., ForkProcess]
) -> None:
    process = holder("run", fork=True)
    process.kill()
    process.join()
    with Run(tmp_path).lock():
        pass


def work_without_end(root: Path, ready: Connection) -> None:
    ready.send(True)
    number = 0
    while True:
        task = Run(root).task("a", {"number": number})
        task.prepare()
        (task.folder / "file").write_bytes(str(number).encode() * 100)
        task.finish(["file"], {})
        number = 1 - number


@pytest.mark.parametrize("delay", [0.002, 0.005, 0.011, 0.017, 0.023, 0.031, 0.041])
def test_a_kill_at_any_moment_leaves_no_false_marker(tmp_path: Path, delay: float) -> None:
    receive, send = FORK.Pipe()
    process = FORK.Process(target=work_without_end, args=(tmp_path, send))
    process.start()
    assert receive.recv()
    time.sleep(delay)
    process.kill()
    process.join()
    for number in (0, 1):
        task = Run(tmp_path).task("a", {"number": number})
        if task.is_done():
            assert (task.folder / "file").read_bytes() == str(number).encode() * 100
        make_done(task)
        assert task.is_done()
