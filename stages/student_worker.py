"""The process that trains one student: `python -m stages.student_worker FOLDER`."""

from __future__ import annotations

from pathlib import Path

from distill.objective import SoftAndHardLabels
from distill.soft_targets import SOFT_TARGETS_NAME, SoftTargets
from stages.jobs import MemberJob
from stages.worker import run_worker, train_member


def make_objective(job: MemberJob) -> SoftAndHardLabels:
    """The objective of a job whose `extra` names the folder of its soft targets and lambda."""
    path = Path(job.extra["folder"]) / SOFT_TARGETS_NAME
    targets = SoftTargets.load(path, job.data.schema.num_labels)
    return SoftAndHardLabels(targets, job.extra["hard_weight"])


if __name__ == "__main__":
    run_worker(lambda folder: train_member(folder, make_objective))
