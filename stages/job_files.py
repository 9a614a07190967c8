"""A job as the file in its task's folder, by which a process is told what to do."""

from pathlib import Path

from common.codec import from_plain, to_plain
from common.extensions import load_extensions
from runs import RunError, Task
from runs.checksums import read_checked_json, write_checked_json
from runs.code import record_code
from stages.job import Job, run_folder, with_paths
from stages.jobs import Measurement, Prediction, Training
from stages.parts.part import BundlePart

JOB_NAME = "job.json"
_KINDS = {kind.__name__.lower(): kind for kind in (Training, Prediction, Measurement, BundlePart)}


def prepare_job(job: Job, task: Task) -> None:
    """Makes the task's folder ready for a process that is given nothing else."""
    with task.lock():
        task.prepare()
        record_code(task, job.modules)
        about = {"kind": type(job).__name__.lower(), "folder": str(task.folder.resolve())}
        write_checked_json(task.folder / JOB_NAME, {**about, **to_plain(job)})


def read_job(folder: Path) -> Job:
    """The job of a task's folder, its extensions loaded.

    Where the run's folder is another than the one that the job was written in, as on a node with a
    copy of its own, what the job says to lie in that one lies in this.

    Raises:
        UserError: the file is damaged, or a file of the user's own is gone or not the one that the
            run began with.
    """
    place = folder / JOB_NAME
    values = read_checked_json(place)
    kind, written = values.pop("kind"), values.pop("folder", None)
    job: Job = from_plain(_KINDS[kind], values, str(place), RunError)
    if written is not None:
        job = _moved(
            job, run_folder(Path(written), job.task), run_folder(folder.resolve(), job.task)
        )
    wanted = job.needs.extensions
    for extension, found in zip(wanted, load_extensions(e.path for e in wanted), strict=True):
        if found != extension:
            raise RunError(f"extensions: {extension.path} was edited; give the command again")
    return job


def _moved(job: Job, before: Path, after: Path) -> Job:
    """A job with the paths that are below one folder below another."""

    def moved(path: Path) -> Path:
        return after / path.relative_to(before) if path.is_relative_to(before) else path

    moved_job: Job = with_paths(job, moved)
    return moved_job
