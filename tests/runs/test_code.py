"""Which files make a task, what counts as a change of them, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import runs.code
from runs import Run, RunError, Task
from runs.code import CODE_NAME, Project, changed_code, record_code, this_project
from runs.code_changes import CodeChanges, OnCodeChange
from runs.store import TASK_NAME
from tests.conftest import write_small_data

FILES = {
    "work/__init__.py": "",
    "work/job.py": "from layers import dense\nimport runs.executor\ndef go():\n    import late\n",
    "layers/__init__.py": "from layers.names import NAME\n",
    "layers/names.py": '"""Names."""\nNAME = "a"  # a name\n',
    "layers/dense.py": "def f(x):\n    return x + 1\n",
    "layers/other.py": "y = 2\n",
    "late/__init__.py": "z = 3\n",
    "runs/__init__.py": "",
    "runs/executor.py": "",
    "tests/test_it.py": "",
}
MADE_BY = ["late/__init__.py", "layers/__init__.py", "layers/dense.py", "layers/names.py"]
MODULES = ("work.job",)


def write(root: Path, **changes: str) -> Project:
    for name, text in (FILES | {f"layers/{n}.py": text for n, text in changes.items()}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Project(root)


def test_files_are_those_that_are_imported(tmp_path: Path) -> None:
    found = write(tmp_path).code_of(MODULES)
    assert list(found) == [*MADE_BY, "work/__init__.py", "work/job.py"]


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"names": 'NAME = "a"\n'}, set()),
        ({"names": '"""Other\n\nnames."""\n\nNAME = (\n    "a"\n)\n'}, set()),
        ({"other": "y = 3\n"}, set()),
        ({"names": 'NAME = "b"\n'}, {"layers/names.py"}),
        ({"dense": "def f(x):\n    return x + 1.0\n"}, {"layers/dense.py"}),
        ({"dense": "def f(x):\n    return x + True\n"}, {"layers/dense.py"}),
        ({"dense": "def f(x"}, {"layers/dense.py"}),
        (
            {"dense": "from layers.other import y\n\n\ndef f(x):\n    return x + 1\n"},
            {"layers/dense.py", "layers/other.py"},
        ),
    ],
)
def test_a_change_is_one_of_what_the_code_means(
    tmp_path: Path, changes: dict[str, str], changed: set[str]
) -> None:
    before = write(tmp_path).code_of(MODULES)
    assert write(tmp_path, **changes).changed(before, MODULES) == changed


def test_a_users_own_file_counts_with_what_it_imports() -> None:
    """It is of no package, and this process has imported it."""
    found = this_project().code_of((write_small_data.__module__,))
    assert {"conftest.py", "records/splits.py", "common/codec.py"} <= found.keys()


@pytest.mark.parametrize("family", ["netvlad", "qrnn"])
def test_a_training_is_made_by_its_own_family(family: str) -> None:
    found = this_project().code_of(("stages.training_work", f"families.{family}"))
    assert {
        f"families/{family}.py",
        "families/layers/heads.py",
        "training/objective.py",
        "records/tfrecord/example.py",
        "distill/objective.py",
    } <= found.keys()
    rooms = {file.partition("/")[0] for file in found}
    assert rooms.isdisjoint({"quantize", "ensemble", "report", "runs"})
    assert "families/netfv.py" not in found and "stages/pack.py" not in found


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """Prepared by the code of `FILES`."""
    become(tmp_path, monkeypatch)
    task = Run(tmp_path / "run").task("a", {"rate": 1})
    task.prepare()
    record_code(task, MODULES)
    return task


def become(root: Path, monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    """Makes it the project's code."""
    project = write(root / "project", **changes)
    monkeypatch.setattr(runs.code, "this_project", lambda: project)


OTHER = {"dense": "def f(x):\n    return x + 2\n"}


def test_a_task_that_two_codes_worked_on_is_of_neither(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_code(task, MODULES)
    assert changed_code(task, MODULES) == set()
    become(tmp_path, monkeypatch, **OTHER)
    assert changed_code(task, MODULES) == {"layers/dense.py"}
    record_code(task, MODULES)
    assert changed_code(task, MODULES) == {"layers/dense.py"}
    become(tmp_path, monkeypatch)
    assert changed_code(task, MODULES) == {"layers/dense.py"}


def test_what_is_not_known_is_not_said(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a run of the first versions, of other inputs, or behind a damaged note."""
    become(tmp_path, monkeypatch, **OTHER)
    assert changed_code(Task("a", task.folder, {"rate": 2}), MODULES) == set()
    place = task.folder / CODE_NAME
    place.write_bytes(place.read_bytes()[:-9])
    assert changed_code(task, MODULES) == set()
    place.unlink()
    assert changed_code(task, MODULES) == set()


def test_what_other_inputs_left_of_the_code_goes_with_it(task: Task) -> None:
    (task.folder / TASK_NAME).unlink()
    task.prepare()
    assert not (task.folder / CODE_NAME).exists()


@pytest.mark.parametrize("choice", ["keep", "redo", "error"])
def test_one_line_for_all_tasks(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: OnCodeChange
) -> None:
    tasks = [task]
    for number in range(5):
        tasks.append(Run(tmp_path / "run").task(f"t{number}", {}))
        tasks[-1].prepare()
        record_code(tasks[-1], MODULES)
    changes = CodeChanges(choice)
    assert not any(changes.calls_for_redoing(each, MODULES) for each in tasks)
    changes.check()
    assert changes.line() is None
    become(tmp_path, monkeypatch, **OTHER)
    redone = [changes.calls_for_redoing(each, MODULES) for each in tasks * 2]
    assert redone == [choice == "redo"] * 12
    said = "code changed since 6 tasks were made (a, t0, t1, t2 and 2 more): layers/dense.py; "
    if choice == "error":
        assert changes.line() is None
        with pytest.raises(RunError) as refusal:
            changes.check()
        assert str(refusal.value).startswith(said)
    else:
        changes.check()
        line = changes.line()
        assert line is not None and line.startswith(said)
        assert ("on_code_change=redo" in line) is (choice == "keep")
