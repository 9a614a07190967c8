"""What the operating system refuses is said in a line: 2 for a wrong path, 1 for the machine."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from common.system_errors import describe, is_of_path
from tests.line import PROGRAM, Line, frames_line

SPACE = os.strerror(errno.EFBIG)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


def test_a_file_in_the_place_of_a_folder(finished: Line, tmp_path: Path) -> None:
    for name in ("outputs", "outputs/smoke", "outputs/smoke/teachers"):
        folder = tmp_path / name.replace("/", "-")
        (folder / name).parent.mkdir(parents=True)
        (folder / name).touch()
        refusal = finished.fresh(folder).call("stage=teachers").refusal()
        assert str(folder / name) in refusal


def test_a_folder_in_the_place_of_a_file(finished: Line, tmp_path: Path) -> None:
    refusal = finished.call("stage=predict", f"output={tmp_path}").refusal()
    assert refusal == f"onegig: {tmp_path}: Is a directory"
    line = finished.fresh(tmp_path)
    log = line.run / "teachers" / "vlad" / "log.txt"
    log.mkdir(parents=True)
    outcome = line.call("stage=teachers")
    assert outcome.status == 2
    said = f"onegig: teachers/vlad: could not be started: {log}: Is a directory"
    assert outcome.err.splitlines()[-1] == said


@pytest.mark.parametrize("folder", ["/proc/onegig", "/dev/null/onegig"])
def test_where_nothing_can_be_written(finished: Line, folder: str) -> None:
    refusal = finished.call("stage=plan", f"outputs={folder}").refusal()
    assert refusal.startswith(f"onegig: {folder}")


def call_without_space(line: Line, whole: Path, *more: str) -> tuple[int, list[str]]:
    """The command where no file, its own or its workers', may become as large as `whole`."""
    most = whole.stat().st_size - 1
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *line.overrides(*more)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()


def test_no_space_for_what_this_process_writes(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path, "bundle")
    status, said = call_without_space(line, finished.bundle, "stage=pack")
    assert status == 1
    assert said[-1].startswith(f"onegig: {line.bundle.parent}/") and said[-1].endswith(SPACE)
    assert not line.bundle.exists()
    assert line.call("stage=pack").status == 0
    assert line.bundle.read_bytes() == finished.bundle.read_bytes()


def test_no_space_for_what_workers_write_is_said_once(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path, "teachers")
    sizes = {p.stat().st_size: p for p in finished.run.glob("teachers/*/weights.safetensors")}
    status, said = call_without_space(line, sizes[min(sizes)], "stage=teachers", "jobs=2")
    assert status == 1
    (reason,) = (row for row in said if row.startswith("onegig: "))
    assert reason.startswith(f"onegig: {line.run / 'teachers'}/") and reason.endswith(f": {SPACE}")
    assert said[-1] == reason


def test_standard_output_that_is_full(finished: Line) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), *finished.overrides("stage=plan")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "onegig: No space left on device"


OF_PATH = ("ENOENT", "EROFS", "EACCES", "EPERM", "ENOTDIR", "EISDIR", "ENAMETOOLONG")
OF_MACHINE = ("ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM", "EFBIG")


@pytest.mark.parametrize("name", [*OF_PATH, *OF_MACHINE])
def test_whose_fault_it_is(name: str) -> None:
    code = getattr(errno, name)
    error = OSError(code, os.strerror(code), "a\nb")
    assert is_of_path(error) is (name in OF_PATH)
    assert describe(error) == f"a\\nb: {os.strerror(code)}"
