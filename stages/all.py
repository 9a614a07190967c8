"""Stage `all`: from shards to a bundle, its submission and the report."""

from dataclasses import dataclass
from pathlib import Path

from stages.distill import distill
from stages.pack import Packed, pack
from stages.plan import plan
from stages.predict import predict
from stages.report import Findings, report
from stages.stage import stage
from stages.synthesize import synthesize
from stages.teachers import teachers
from stages.workspace import Workspace


@dataclass(frozen=True)
class Finished:
    """The end of a run: what was packed, the file of the submission, what the report shows."""

    packed: Packed
    submission: Path
    findings: Findings


@stage("all", help="all of these in order, then the table")
def run_all(workspace: Workspace) -> Finished:
    """Does what is not done of every stage up to `report`.

    Raises:
        JobsFailed: a training failed; the others of its kind have finished.
    """
    if workspace.config.data.generated:
        synthesize(workspace)
    plan(workspace)
    teachers(workspace)
    distill(workspace)
    return Finished(pack(workspace), predict(workspace), report(workspace))
