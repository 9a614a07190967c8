"""Copies of objects: bounded, shared by processes, and whole after SIGKILL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from common.objects import CONNECTIONS
from records import Schema, SplitSpec, formats, iterate_batches, open_split
from records.objects import fetcher
from records.objects import folder as folders
from records.objects.copies import Copies
from records.objects.fetcher import Fetcher
from records.objects.folder import RemoteFolder
from tests.object_storage import ObjectServer
from tests.records.conftest import MakeShards

SHARDS, GROUP = 100, 8


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_bytes_files_and_threads_do_not_grow_with_the_shards(
    make_shards: MakeShards,
    frame_schema: Schema,
    object_server: ObjectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetcher, "_PIECE", 200)
    for module in (formats, folders):
        monkeypatch.setattr(module, "GROUP_SHARDS", GROUP)
    shards = make_shards(frame_schema, 2 * SHARDS, per_shard=2)
    assert len(shards) == SHARDS
    largest = max(path.stat().st_size for path in shards)
    most = 2 * GROUP * largest
    assert most < size_of(tmp_path / "data") // 3
    folder = RemoteFolder(
        object_server.put_folder(tmp_path / "data", "x"), tmp_path / "copies", most
    )
    spec, index = SplitSpec(), tmp_path / "index"
    split = open_split(folder.root, "train", spec, frame_schema, cache=index, remote=folder)
    process, begun = psutil.Process(), len(psutil.Process().open_files())
    files, threads = [], []
    for batch in iterate_batches(split, 5, shuffle_seed=1, shuffle_group_shards=GROUP):
        assert len(batch) == 5
        # A file may be counted, removed, and what takes its place counted as well; and one that
        # could go may be in use for a moment longer.
        assert min(size_of(folder.copies) for _ in range(3)) <= most + 2 * largest
        files.append(len(process.open_files()) - begun)
        threads.append(process.num_threads())
    # Of each copy in use two, of each that comes two, and all the same after a part of the shards.
    assert max(files) <= 4 * GROUP and max(files[:8]) >= max(files) - 2 * GROUP
    assert max(threads) <= threads[0] + CONNECTIONS
    assert len(process.open_files()) == begun


def test_readers_at_once_fetch_a_shard_once(
    make_shards: MakeShards, frame_schema: Schema, object_server: ObjectServer, tmp_path: Path
) -> None:
    make_shards(frame_schema, 60, per_shard=2)
    url = object_server.put_folder(tmp_path / "data", "x")
    shards = RemoteFolder(url, tmp_path / "copies", 1 << 20).shards(
        "train", SplitSpec(), "auto", frame_schema
    )
    object_server.requests.clear()

    def read() -> None:
        reader = Fetcher(shards)
        reader.expect(shards.paths)
        for path in shards.paths:
            copy = reader.copy(path)
            name = shards.objects[path].name
            assert copy.path.read_bytes() == (tmp_path / "data" / name).read_bytes()
            copy.release()
        reader.close()

    # Their locks are of open files, and keep threads apart as they do processes.
    readers = [threading.Thread(target=read) for _ in range(3)]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
    assert object_server.requests == {"GET": 30}
    assert len(list((tmp_path / "copies").glob("*-train*"))) == 30


def test_a_reader_may_be_closed_at_any_time(
    make_shards: MakeShards,
    frame_schema: Schema,
    object_server: ObjectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetcher, "_PIECE", 50)
    make_shards(frame_schema, 60, per_shard=10)
    url = object_server.put_folder(tmp_path / "data", "x")
    shards = RemoteFolder(url, tmp_path / "copies", 1 << 20).shards(
        "train", SplitSpec(), "auto", frame_schema
    )
    for count in range(3):
        reader = Fetcher(shards)
        reader.expect(shards.paths)
        for path in shards.paths[:count]:
            reader.copy(path).release()
        reader.close()
        assert not list((tmp_path / "copies").glob("*.part"))
    assert not [each for each in threading.enumerate() if each.name.startswith("fetch")]


def write(copies: Copies, name: str, content: bytes) -> None:
    with copies.writing(name, len(content), wait=True) as file:
        assert file is not None
        file.write(content)


def test_the_least_recently_used_go_and_what_is_in_use_stays(tmp_path: Path) -> None:
    copies = Copies(tmp_path / "copies", 35)
    for name in "abc":
        write(copies, name, b"0123456789")
    held = copies.use("a")
    again = copies.use("b")
    assert held is not None and again is not None
    again.release()
    write(copies, "d", b"0123456789")
    assert [copies.place(name).is_file() for name in "abcd"] == [True, True, False, True]
    (again.beside).mkdir()
    (again.beside / "unpacked").write_bytes(b"x" * 20)
    copies.trim()
    assert [copies.place(name).is_file() for name in "abcd"] == [True, False, False, True]
    assert not again.beside.exists()
    held.release()
    write(copies, "e", b"x" * 30)
    assert [copies.place(name).is_file() for name in "abde"] == [False, False, False, True]


def test_an_error_leaves_no_copy(tmp_path: Path) -> None:
    copies = Copies(tmp_path / "copies", 100)
    with pytest.raises(KeyError), copies.writing("a", 10, wait=True):
        raise KeyError
    assert copies.use("a") is None and size_of(tmp_path) == 0


WRITER = """
import sys, time
from pathlib import Path
from records.objects.copies import Copies
with Copies(Path(sys.argv[1]), 100).writing("a", 60, wait=True) as file:
    file.write(b"half")
    file.flush()
    print("begun", flush=True)
    time.sleep(600)
"""


def test_a_killed_process_leaves_no_copy_and_takes_no_room(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "copies")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        copies = Copies(tmp_path / "copies", 100)
        with copies.writing("a", 60, wait=False) as file:
            assert file is None
        os.kill(process.pid, signal.SIGKILL)
    assert copies.use("a") is None
    write(copies, "b", b"x" * 70)
    assert size_of(tmp_path) == 70
    write(copies, "a", b"whole")
    copy = copies.use("a")
    assert copy is not None and copy.path.read_bytes() == b"whole"
    copy.release()
