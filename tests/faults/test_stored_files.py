"""Damaged files of a run: each is named, made again, and nothing of it reaches the bundle."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runs import Task
from stages.job import Job
from stages.job_files import prepare_job
from tests.line import Line, means_line

# Every kind of file that a task leaves behind, and the tasks that have to be done again.
FILES = (
    "teachers/plain/weights.safetensors",
    "teachers/plain/predictions-search.safetensors",
    "ensemble/ensemble.json",
    "training-predictions/teachers-plain/predictions-train.safetensors",
    "soft/perceptron/soft-targets.safetensors",
    "students/plain/predictions-report.safetensors",
    "quantized/plain/predictions-search-uniform8.safetensors",
    "quantized/plain/layouts.json",
    "curve/solutions.json",
    "selection/chosen.json",
    "bundle/bundle.safetensors",
    "bundle/receipt.json",
)
MARKERS = ("teachers/plain/DONE", "quantized/plain/DONE", "bundle/DONE")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """One member on means. Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def repaired(finished: Line, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A copy that every test damages and repairs."""
    return finished.copy(tmp_path_factory.mktemp("repaired"))


def flip_bit(path: Path, at: int) -> None:
    """Flips a bit in place: neither size nor time tell."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def digit_of(path: Path) -> int:
    """Where the file's last digit stands: in JSON a flipped bit makes it another number."""
    return max(at for at, byte in enumerate(path.read_bytes()) if chr(byte).isdigit())


def contents(line: Line) -> dict[str, bytes]:
    """What the tasks' files hold; a summary also has seconds."""
    files = {}
    for marker in line.run.rglob("DONE"):
        for name in json.loads(marker.read_text())["files"]:
            path = marker.parent / name
            files[str(path.relative_to(line.run))] = path.read_bytes()
    return files


@pytest.mark.parametrize("name", [*FILES, *MARKERS])
def test_damaged_file_is_named_and_made_again(finished: Line, repaired: Line, name: str) -> None:
    path, before = repaired.run / name, repaired.done()
    text = path.suffix != ".safetensors"
    flip_bit(path, digit_of(path) if text else path.stat().st_size // 2)
    outcome = repaired.call("stage=all")
    assert outcome.status == 0, outcome.err
    task = str(Path(name).parent)
    said = [row for row in outcome.err.splitlines() if "damaged" in row]
    assert said == [f"{task}: {Path(name).name} is missing or damaged; has to be made again"]
    after = repaired.done()
    assert {key for key in before if after[key] != before[key]} == {task}
    assert contents(repaired) == contents(finished)


def test_a_stage_that_makes_no_teachers_names_the_damage(repaired: Line) -> None:
    flip_bit(repaired.run / "teachers/plain/weights.safetensors", 1000)
    refusal = repaired.call("stage=pack").refusal()
    assert "teachers/plain is damaged (weights.safetensors" in refusal
    assert "run stage=teachers first" in refusal
    assert repaired.call("stage=teachers").status == 0


def test_damage_while_a_job_waits_stops_its_worker(
    finished: Line, repaired: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights were sound when the stage began, and are not when the worker reads them."""
    weights = repaired.run / "teachers/plain/weights.safetensors"
    layouts = repaired.run / "quantized/plain/layouts.json"
    students = repaired.run / "students/plain/weights.safetensors"

    def prepare(job: Job, task: Task) -> None:
        prepare_job(job, task)
        flip_bit(weights, 1000)
        flip_bit(students, 1000)

    flip_bit(layouts, digit_of(layouts))
    with monkeypatch.context() as patch:
        patch.setattr("stages.execute.prepare_job", prepare)
        outcome = repaired.call("stage=all")
    assert outcome.status == 2, outcome.err
    last = outcome.err.splitlines()[-1]
    assert last == f"onegig: {students.resolve()}: missing or damaged; give the command again"
    outcome = repaired.call("stage=all")
    assert outcome.status == 0, outcome.err
    for task in ("teachers/plain", "students/plain"):
        assert (
            f"{task}: weights.safetensors is missing or damaged; has to be made again"
            in outcome.err
        )
    assert contents(repaired) == contents(finished)
