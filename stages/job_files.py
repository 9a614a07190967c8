"""A job as the file in its task's folder, by which a process is told what to do."""

from pathlib import Path

from common.codec import from_plain, to_plain
from common.extensions import load_extensions
from runs import RunError, Task
from runs.checksums import read_checked_json, write_checked_json
from runs.code import record_code
from stages.job import Job
from stages.jobs import Measurement, Prediction, Training
from stages.parts.part import BundlePart

JOB_NAME = "job.json"
_KINDS = {kind.__name__.lower(): kind for kind in (Training, Prediction, Measurement, BundlePart)}


def prepare_job(job: Job, task: Task) -> None:
    """Makes the task's folder ready for a process that is given nothing else."""
    with task.lock():
        task.prepare()
        record_code(task, job.modules)
        kind = type(job).__name__.lower()
        write_checked_json(task.folder / JOB_NAME, {"kind": kind, **to_plain(job)})


def read_job(folder: Path) -> Job:
    """The job of a task's folder, its extensions loaded.

    Raises:
        UserError: the file is damaged, or a file of the user's own is gone or not the one that the
            run began with.
    """
    place = folder / JOB_NAME
    values = read_checked_json(place)
    job: Job = from_plain(_KINDS[values.pop("kind")], values, str(place), RunError)
    wanted = job.needs.extensions
    for extension, found in zip(wanted, load_extensions(e.path for e in wanted), strict=True):
        if found != extension:
            raise RunError(f"extensions: {extension.path} was edited; give the command again")
    return job
