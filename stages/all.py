"""Stage `all`: from shards to a bundle and its submission."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stages.distill import distill
from stages.pack import Packed, pack
from stages.plan import plan
from stages.predict import predict
from stages.stage import stage
from stages.synthesize import synthesize
from stages.teachers import teachers
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
    teachers(workspace)
    distill(workspace)
    return Finished(pack(workspace), predict(workspace))
