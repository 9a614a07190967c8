"""A process that does one job: `python -m stages.worker FOLDER`, FOLDER that of the job's task."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

# The first settings that a process reads would import the one, and the first optimizer the other,
# for over a second; the process that jobs are forked from does so once for all of them.
import pydantic.type_adapter  # noqa: F401
import torch
import torch._dynamo

from common import system_errors
from common.errors import UserError
from runs import MACHINE_FAILED, Task, die_with_parent
from runs.code import record_code
from stages.jobs import Measurement, Prediction, Training, read_job
from stages.packing.measurement_work import measure
from stages.training_work import predict_clips, train
from training.trainer import Interrupted


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
            case Training():
                train(job, task)
            case Prediction():
                predict_clips(job, task)
            case Measurement():
                measure(job, task)


def run() -> None:
    """Runs `main` on the folder of the command line and ends the process.

    Exit status 0: done. 2: the user's input is wrong, one line on standard error. 143: stopped by
    SIGTERM after a checkpoint. `MACHINE_FAILED`: no space, no memory and the like, also one line.
    Anything else is a defect and shows its traceback.
    """
    die_with_parent()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    # A denormal costs a hundred cycles and rounds to nothing.
    torch.set_flush_denormal(True)
    try:
        main(Path(sys.argv[1]))
    except Interrupted:
        sys.exit(143)
    except UserError as error:
        _end(2, str(error))
    except OSError as error:
        status = 2 if system_errors.is_of_path(error) else MACHINE_FAILED
        _end(status, system_errors.describe(error))


def _end(status: int, said: str) -> NoReturn:
    # There may be no space for the log either.
    with suppress(OSError):
        print(said, file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    run()
