"""A stage of a user's own: the teacher that scores best on `search`, in a file of the run."""

from __future__ import annotations

from pathlib import Path

from common.files import write_json
from stages.stage import stage
from stages.summaries import TrainingSummary, read_summary
from stages.teachers import load_teachers
from stages.workspace import Workspace


@stage("mine", help="name the best teacher", needs=("teachers",))
def best_teacher(workspace: Workspace) -> Path:
    gaps = {
        name: read_summary(task, TrainingSummary).gap("search")
        for name, task in load_teachers(workspace).items()
    }
    path = workspace.run.root / "best.json"
    write_json(path, {"best": max(gaps, key=lambda name: gaps[name])})
    return path
