"""Stage `all`: from shards to a bundle and its submission."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.distill import train_students
from stages.ensemble import choose_teachers
from stages.pack import Packed, pack_students
from stages.plan import plan
from stages.predict import predict
from stages.stage import stage
from stages.synthesize import synthesize
from stages.teachers import train_teachers
from stages.workspace import Workspace


@dataclass(frozen=True)
class Finished:
    """The end of a run: what was packed, and the file of the submission."""

    packed: Packed
    submission: Path


@stage("all", help="all of these in order, then the table")
def run_all(workspace: Workspace) -> Finished:
    """Does what is not done of every stage up to `predict`.

    Raises:
        JobsFailed: a training failed; the others of its kind have finished.
    """
    if workspace.config.data.generated:
        synthesize(workspace)
    plan(workspace)
    teachers = train_teachers(workspace)
    students = train_students(workspace, teachers, choose_teachers(workspace, teachers))
    packed = pack_students(workspace, teachers, students)
    return Finished(packed, predict(workspace))
