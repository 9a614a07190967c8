"""A process that does one job: `python -m stages.worker FOLDER`, FOLDER that of the job's task."""

import os
import sys
from contextlib import suppress
from pathlib import Path

# The first settings that a process reads would import the one, and the first optimizer the other,
# for over a second; the process that jobs are forked from does so once for all of them.
import pydantic.type_adapter  # noqa: F401
import torch
import torch._dynamo

from families import remembers
from runs import Task, die_with_parent
from runs.code import record_code
from stages.endings import ending_of
from stages.job_files import read_job
from stages.jobs import Measurement, Prediction, Training
from stages.packing.measurement_work import measure
from stages.parts.part import BundlePart
from stages.parts.work import run_part
from stages.ranks import train_together
from stages.training_work import predict_clips, train


def main(folder: Path) -> None:
    """Does the job of a task's folder, unless it is done."""
    job = read_job(folder)
    task = Task(job.task, folder, job.inputs())
    with task.lock():
        if task.is_done():
            return
        # It may be another than when the folder was prepared.
        record_code(task, job.modules)
        match job:
            # What remembers is no gradient's work.
            case Training() if job.train.devices > 1 and not remembers(job.setting.family):
                train_together(job, task)
            case Training():
                train(job, task)
            case Prediction():
                predict_clips(job, task)
            case Measurement():
                measure(job, task)
            case BundlePart():
                run_part(job, task)


def run() -> None:
    """Runs `main` on the folder of the command line and ends the process as `ending_of` says."""
    die_with_parent()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    # A denormal costs a hundred cycles and rounds to nothing.
    torch.set_flush_denormal(True)
    status, said = ending_of(lambda: main(Path(sys.argv[1])))
    if said:
        # There may be no space for the log either.
        with suppress(OSError):
            print(said, file=sys.stderr)
    if status:
        sys.exit(status)


if __name__ == "__main__":
    run()
