"""What the process of a part does: the rows of its clips, or what their scores come from."""

import math

import numpy as np
import torch
from safetensors.numpy import save_file

from common.files import atomic_path, sha256_file
from common.threads import one_thread
from quantize.bundle.inference import BATCH_CLIPS, Bundle
from records import Split
from runs import Predictions, RunError, Task, reported
from stages.external.mixed import mixed
from stages.jobs import predictions_name
from stages.packing.scored import Scored, collected, scored
from stages.parts.part import BundlePart
from stages.parts.rows import write_rows
from training.device import choose_device

ROWS_NAME = "rows.csv"
IDS_NAME = "ids.npy"
SCORES_NAME = "scores.safetensors"


def run_part(job: BundlePart, task: Task) -> None:
    """Runs the bundle over the clips of a part, and finishes its task.

    It computes as the command does where there are no parts: the same batches, each on one thread.

    Raises:
        RunError: bundle or shards are no longer what they were when the job was given.
    """
    part = _clips(job)
    bundle = Bundle.load(job.bundle, choose_device(job.device), precision=job.precision)
    torch.set_flush_denormal(False)
    with one_thread():
        batches: Scored = scored(bundle, part)
        if job.blend:
            batches = mixed(batches, job.blend, _external(job))
        steps = math.ceil(len(part) / BATCH_CLIPS)
        batches = reported(batches, task.folder, steps, predicts=job.split)
        if job.made == "scores":
            with atomic_path(task.folder / SCORES_NAME) as beside:
                save_file(collected(bundle, batches).stored(), beside)
            files = [SCORES_NAME]
        else:
            place = atomic_path(task.folder / ROWS_NAME)
            with place as beside, beside.open("w", newline="", encoding="utf-8") as file:
                ids = write_rows(file, batches, job.made)
            with atomic_path(task.folder / IDS_NAME) as beside, beside.open("wb") as numbers:
                np.save(numbers, ids, allow_pickle=False)
            files = [ROWS_NAME, IDS_NAME]
    task.finish(files, {"clips": len(part)})


def _clips(job: BundlePart) -> Split:
    whole = job.data.open(job.split)
    for what, changed in (
        (job.bundle, sha256_file(job.bundle) != job.digest),
        (f"split {job.split}", whole.fingerprint != job.fingerprint),
    ):
        if changed:
            raise RunError(f"{what}: changed while this job waited; give the command again")
    return whole.select(np.arange(job.start, job.end))


def _external(job: BundlePart) -> dict[str, Predictions]:
    """What the external models say of the part's clips."""
    rows = slice(job.start, job.end)
    return {
        name: Predictions.load(own.file(predictions_name(job.split))).select(rows)
        for name, own in job.external.items()
    }
