"""Files are whole or absent."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from common.files import atomic_path, read_json, sha256_file, write_bytes, write_json


def test_writes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.bin"
    write_bytes(target, b"old")
    write_bytes(target, b"new")
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["file.bin"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    write_bytes(target, b"old")
    with pytest.raises(KeyError), atomic_path(target) as beside:
        beside.write_bytes(b"half")
        raise KeyError
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing was written"), atomic_path(tmp_path / "file.bin"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_kill_in_between_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    write_bytes(target, b"old")
    script = (
        "import os, signal, sys\n"
        "from common.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as beside:\n"
        "    beside.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    code = subprocess.call([sys.executable, "-c", script, str(target)])
    assert code == -signal.SIGKILL
    assert target.read_bytes() == b"old"


def test_the_mode_is_that_of_an_ordinary_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "atomic", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_round_trip_keeps_the_order(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": {"name": "naïve"}}
    write_json(tmp_path / "value.json", value)
    assert list(read_json(tmp_path / "value.json")) == ["b", "a"]
    assert read_json(tmp_path / "value.json") == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_json_refuses_what_it_does_not_know(tmp_path: Path, value: object) -> None:
    with pytest.raises(UserError, match=r"value\.json"):
        write_json(tmp_path / "value.json", {"value": value})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_broken_json_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "broken.json").write_bytes(data)
    with pytest.raises(UserError, match=r"broken\.json: not JSON"):
        read_json(tmp_path / "broken.json")


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.json: cannot be read"):
        read_json(tmp_path / "missing.json")


def test_sha256_file(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(data)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(data).hexdigest()
