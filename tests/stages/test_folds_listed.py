"""Which trainings of a run with folds are ahead, and which are done."""

from __future__ import annotations

from pathlib import Path

import stages.builtin  # noqa: F401
from runs.marker import DONE_NAME
from stages.execute import trainings_ahead
from stages.stage import STAGES, Done
from stages.workspace import Workspace
from tests.test_experiments import experiment

MEMBERS = ("~members.vlad", "~members.bag", "~members.sequence", "members.near.family=neighbors")


def workspace_of(folder: Path, *overrides: str) -> Workspace:
    return Workspace(experiment("smoke", *MEMBERS, "folds=2", f"outputs={folder}", *overrides))


def test_copies_are_ahead_too(tmp_path: Path) -> None:
    """Of what remembers there are none, and nothing that takes time."""
    late = "distill.students={late: {member: plain, teacher: labels}}"
    epochs = ("train.epochs=9", "distill.train.epochs=4", "train.averaging_epochs=0")
    found = trainings_ahead(workspace_of(tmp_path, "stage=distill", "copies=3", late, *epochs))
    of_folds = {f"folds/{fold}/students/plain" for fold in range(2)}
    copies = {f"{folder}/plain+{n}" for folder in ("students", "teachers") for n in (2, 3)}
    assert set(found) == {"students/plain", *of_folds, *copies}
    # Half of the clips are in a fold.
    assert {found[name] for name in of_folds} == {found["students/plain"] / 2}
    # Those of `late` are trained as teachers are.
    assert found["teachers/plain+2"] == 9 and found["students/plain+2"] == 4


def test_where_folds_are_packed_their_students_are_what_there_is(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, "final=bag")
    for name in ("folds/0/students/plain", "folds/0/students/near", "folds/1/students/near"):
        folder = workspace.run.root / name
        folder.mkdir(parents=True)
        (folder / DONE_NAME).touch()
    done = STAGES.get("distill").done
    assert done is not None and done(workspace) == Done(3, 4)
    ahead = trainings_ahead(workspace_of(tmp_path, "final=bag", "stage=distill"))
    assert list(ahead) == ["folds/1/students/plain"]
