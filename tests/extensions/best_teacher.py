"""A stage of a user's own: the teacher that scores best on `search`, in a file of the run."""

from __future__ import annotations

from pathlib import Path

from common.files import write_json
from stages.stage import stage
from stages.teachers import load_teachers
from stages.workspace import Workspace


@stage("mine", help="name the best teacher", needs=("teachers",))
def best_teacher(workspace: Workspace) -> Path:
    teachers = load_teachers(workspace)
    gaps = {name: teachers.summary(name).gap("search") for name in teachers.tasks}
    path = workspace.run.root / "best.json"
    write_json(path, {"best": max(gaps, key=lambda name: gaps[name])})
    return path
