"""Ctrl-C at any moment: one line, status 130, and what was trained is kept."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.line import Line, frames_line, processes_on, start, wait_for
from training.checkpoint import CHECKPOINT_NAME

SAID = "onegig: interrupted; the same command goes on from here"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


def interrupt(process: subprocess.Popen[str]) -> str:
    """What it says on standard error when it is interrupted."""
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    return err


def has_mapped(process: subprocess.Popen[str], library: str) -> bool:
    try:
        return library in Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("library", ["_yaml", "libtorch_cpu"])
def test_while_it_imports(library: str) -> None:
    process = start("stage=plan", "experiment=smoke")
    wait_for(lambda: has_mapped(process, library), process)
    assert interrupt(process).splitlines() == [SAID]


def test_while_it_trains(undisturbed: Line, tmp_path: Path) -> None:
    line = undisturbed.fresh(tmp_path)
    checkpoint = line.run / "teachers" / "vlad" / CHECKPOINT_NAME
    process = line.start("stage=teachers", "train.checkpoint_seconds=0", "train.epochs=40")
    assert wait_for(checkpoint.exists, process)
    *before, last = interrupt(process).splitlines()
    assert last == SAID
    assert any(row.startswith("teachers/vlad: ") and "interrupted" in row for row in before)
    assert not any("failed" in row for row in before)
    assert checkpoint.exists() and not processes_on(line.run)


@pytest.mark.parametrize("moment", ["ensemble/task.json", "quantized/plain/job.json"])
def test_while_it_works_otherwise(undisturbed: Line, tmp_path: Path, moment: str) -> None:
    stage, _, _ = moment.partition("/")
    line = undisturbed.copy(tmp_path, stage, "selection", "bundle")
    process = line.start("stage=all")
    assert wait_for((line.run / moment).exists, process)
    assert interrupt(process).splitlines()[-1] == SAID
    assert not processes_on(line.run)
    assert line.call("stage=all").status == 0
    assert line.bundle.read_bytes() == undisturbed.bundle.read_bytes()
