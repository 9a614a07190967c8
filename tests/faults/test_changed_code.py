"""Code that changes between two calls: kept and said, made again, or refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import runs.code
from runs.code import CODE_NAME, Project
from tests.line import PROGRAM, Line, Outcome, means_line

LOSS = Path("training/objective.py")
# Of searches, and of no training.
SEARCHES = (Path("ensemble/choice.py"), Path("stages/packing/packer.py"))
SEARCHED = {"ensemble", "curve", "uniform8", "selection", "bundle", "report/bundle"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """One perceptron. Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the program, to be edited."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for path in (PROGRAM, PROGRAM.parent / "conf", *PROGRAM.parent.glob("*/__init__.py")):
        source = path.parent if path.name == "__init__.py" else path
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / source.name)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edit_loss(checkout: Path) -> None:
    edit(checkout / LOSS, "summed(label_losses(z)) / clips", "summed(label_losses(z)) * 2 / clips")


def becomes(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes it the code that the next call in this process finds."""
    project = Project(checkout)
    monkeypatch.setattr(runs.code, "this_project", lambda: project)


def said(outcome: Outcome) -> list[str]:
    """What there is to read of code."""
    return [row for row in outcome.err.splitlines() if "code" in row]


def test_the_same_code_and_comments_are_not_worth_a_word(
    finished: Line, tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = finished.copy(tmp_path)
    before = line.done()
    edit(checkout / LOSS, "rows, columns = batch", "# All the same.\n        rows, columns = batch")
    becomes(checkout, monkeypatch)
    for choice in ("keep", "redo", "error"):
        outcome = line.call("stage=all", f"on_code_change={choice}")
        assert outcome.status == 0 and said(outcome) == []
    assert line.done() == before


def test_kept_tasks_are_told_in_one_line(
    finished: Line, tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = finished.copy(tmp_path)
    before = line.done()
    edit_loss(checkout)
    becomes(checkout, monkeypatch)
    outcome = line.call("stage=all")
    assert outcome.status == 0
    (line_said,) = said(outcome)
    assert "teachers/plain" in line_said and str(LOSS) in line_said
    assert "on_code_change=redo" in line_said
    assert line.done() == before
    # Nothing was noted of a run of an earlier version: nothing is said of it.
    for note in line.run.rglob(CODE_NAME):
        note.unlink()
    assert said(line.call("stage=all")) == []


def test_tasks_of_this_process_know_their_code_too(
    finished: Line, tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = finished.copy(tmp_path)
    before = line.done()
    for path in SEARCHES:
        with (checkout / path).open("a") as file:
            file.write("\nADDED = True\n")
    becomes(checkout, monkeypatch)
    (kept,) = said(line.call("stage=all"))
    assert f"since {len(SEARCHED)} tasks" in kept and all(str(path) in kept for path in SEARCHES)
    assert all(name in kept for name in ("ensemble", "curve", "uniform8", "selection"))
    outcome = line.call("stage=all", "on_code_change=redo")
    assert outcome.status == 0
    made = {name for name, time in line.done().items() if time != before[name]}
    assert made == SEARCHED
    assert line.bundle.read_bytes() == finished.bundle.read_bytes()
    (redone,) = said(outcome)
    assert "made again" in redone


def test_an_error_is_one_line_and_changes_nothing(
    finished: Line, tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = finished.copy(tmp_path)
    before = line.done()
    edit_loss(checkout)
    becomes(checkout, monkeypatch)
    refusal = line.call("stage=all", "on_code_change=error").refusal()
    assert "teachers/plain" in refusal and str(LOSS) in refusal
    assert "on_code_change=keep" in refusal
    assert line.done() == before
    listing = line.call("on_code_change=redo")
    assert "next is stage=teachers" in listing.out


def test_redone_tasks_are_of_the_new_code_alone(
    finished: Line, tmp_path: Path, checkout: Path
) -> None:
    """As processes, from within another checkout, and with a training that the old code began."""
    line = finished.copy(tmp_path)
    edit_loss(checkout)
    teacher = line.run / "teachers" / "plain"
    (teacher / "DONE").unlink()
    (teacher / "checkpoint.pt").write_bytes(b"of the old loss")
    overrides = line.overrides("stage=teachers", "on_code_change=redo")
    process = subprocess.run(
        [sys.executable, checkout / "orchestrate.py", *overrides],
        cwd=PROGRAM.parent,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert not (teacher / "checkpoint.pt").exists()
    (noted,) = json.loads((teacher / CODE_NAME).read_text())["versions"]
    edited = Project(checkout).code_of(("training.objective",))[str(LOSS)]
    assert noted[str(LOSS)] == vars(edited)
    weights = "weights.safetensors"
    old = finished.run / "teachers" / "plain" / weights
    assert (teacher / weights).read_bytes() != old.read_bytes()
