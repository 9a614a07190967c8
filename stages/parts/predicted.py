"""The predictions of models on large splits: made in parts, joined into what one process writes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from runs import Predictions, Task
from stages.execute import Tasks, make
from stages.jobs import Prediction, predictions_name
from stages.parts.cut import PARTS_FOLDER, cut, remove_parts

Name = TypeVar("Name", bound=Hashable)


def predictions_of(tasks: Tasks, jobs: Mapping[Name, Prediction]) -> dict[Name, Task]:
    """The tasks of predictions, by the same names; those of more clips than `parts.clips` in parts.

    What is joined has the bytes, and so the task the digest, of a prediction in one piece. Then the
    parts are removed.

    Raises:
        JobsFailed: some failed; the others are done.
        UserError: as in `Tasks.of_jobs`.
    """
    workspace = tasks.workspace
    several = _parts(tasks, jobs)
    joined = {name: workspace.task(jobs[name]) for name in several}
    missing = {
        name: parts
        for name, parts in several.items()
        if tasks.is_to_be_made(joined[name], jobs[name].modules, jobs[name].takes)
    }
    given = {(name, -1): job for name, job in jobs.items() if name not in several}
    given |= {(name, n): part for name, parts in missing.items() for n, part in enumerate(parts)}
    made = tasks.of_jobs(given)
    for name, parts in missing.items():
        _join(jobs[name], joined[name], [made[name, number] for number in range(len(parts))])
    for folder in {str(Path(part.task).parent) for parts in several.values() for part in parts}:
        remove_parts(workspace.run.root, folder)
    return {name: joined[name] if name in several else made[name, -1] for name in jobs}


def _parts(tasks: Tasks, jobs: Mapping[Name, Prediction]) -> dict[Name, list[Prediction]]:
    """The parts of those that have several."""
    least = tasks.workspace.config.parts.clips
    counts: dict[str, int] = {}
    found = {}
    for name, job in jobs.items():
        fingerprint = job.setting.fingerprints[job.split]
        if fingerprint not in counts:
            counts[fingerprint] = len(job.setting.open(job.split))
        bounds = cut(counts[fingerprint], least, job.batch_size)
        if len(bounds) > 1:
            found[name] = [
                replace(job, task=f"{PARTS_FOLDER}/{job.task}.{n:04}", start=start, end=end)
                for n, (start, end) in enumerate(bounds)
            ]
    return found


def _join(job: Prediction, task: Task, parts: Sequence[Task]) -> None:
    """Makes a prediction of its parts."""
    name = predictions_name(job.split)

    def work(task: Task) -> tuple[list[str], Any]:
        found = [Predictions.load(part.file(name)) for part in parts]
        Predictions.concatenate(found).save(task.folder / name)
        return [name], {}

    make(task, work, job.modules)
