"""Stage `all`: from shards to a bundle, its submission and the report."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stages.distill import distill
from stages.pack import Packed, pack
from stages.plan import plan
from stages.predict import Submission, predict
from stages.report import Findings, report
from stages.stage import stage
from stages.synthesize import synthesize
from stages.teachers import teachers
from stages.tune import tune
from stages.workspace import Workspace
from training.device import choose_device

Made = TypeVar("Made")


@dataclass(frozen=True)
class Finished:
    """The end of a run: what was packed, the submission, what the report shows."""

    packed: Packed
    submission: Submission
    findings: Findings


@stage("all", help="all of these in order, then the table")
def run_all(workspace: Workspace) -> Finished:
    """Does what is not done of every stage up to `report`; with `tune.trials` of tuned members.

    Raises:
        JobsFailed: a training failed; the others of its kind have finished.
    """
    choose_device(workspace.config.device)
    names = ["plan", "teachers", "distill", "pack", "predict", "report"]
    if workspace.config.tune.trials:
        names.insert(0, "tune")
    if workspace.config.data.generated:
        names.insert(0, "synthesize")

    def in_turn(run: Callable[[Workspace], Made]) -> Made:
        name = run.__name__
        workspace.progress.begin(name, names.index(name) + 1, len(names))
        return run(workspace)

    if workspace.config.data.generated:
        in_turn(synthesize)
    if workspace.config.tune.trials:
        workspace = in_turn(tune).workspace
    in_turn(plan)
    in_turn(teachers)
    in_turn(distill)
    packed = in_turn(pack)
    assert isinstance(packed, Packed), "a configuration of this stage has one budget"
    return Finished(packed, in_turn(predict), in_turn(report))
