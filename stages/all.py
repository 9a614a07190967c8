"""Stage `all`: from shards to a bundle, its submission and the report."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stages.config import Config
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
        number = names.index(name) + 1
        # Of the members that there are by now.
        later = _later(workspace.config).get(name, {})
        workspace.progress.begin(name, number, len(names), later)
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


def _later(config: Config) -> dict[str, dict[str, float]]:
    """By stage and kind of job, how many such jobs the trainings come to that follow.

    What follows the students takes little beside them, and is not counted.
    """
    teachers = [config.train_config(name) for name in config.members]
    students = [config.student_train_config(name) for name in config.distilled]
    if not teachers:
        return {}
    epochs = [sum(own.epochs + own.averaging_epochs for own in of) for of in (teachers, students)]
    follow = max(1, config.folds + 1) * epochs[1] / max(epochs[0] / len(teachers), 1e-9)
    return {"teachers": {"teachers": follow}, "distill": {"students": 0.0}}
