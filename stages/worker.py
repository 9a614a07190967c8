"""What a training process does: `job.json` of a folder in; weights, predictions and `DONE` out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from common.errors import UserError
from common.extensions import load_extension
from common.files import atomic_path, read_json
from families import registry
from families.size import model_bytes, parameter_count
from records import Split, with_frames
from runs import Predictions, Task, die_with_parent
from stages.jobs import JOB_NAME, WEIGHTS_NAME, MemberJob, predictions_name
from training.checkpoint import CHECKPOINT_NAME
from training.device import choose_device, peak_memory
from training.inference import gap_of, labels_of, predict_split
from training.objective import Objective
from training.trainer import Interrupted, Trainer


def run_worker(main: Callable[[Path], None]) -> None:
    """Runs a worker's `main` on the folder of the command line and ends the process.

    Exit status 0: done. 2: the user's input is wrong, one line on standard error. 143: stopped by
    SIGTERM after a checkpoint. Anything else is a defect and shows its traceback.
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
        print(error, file=sys.stderr)
        sys.exit(2)


def load_job(folder: Path) -> MemberJob:
    """The job of a task's folder, its family registered.

    Raises:
        FamilyError: the file of an own family is gone, or not the one that the run began with.
    """
    job = MemberJob.from_dict(read_json(folder / JOB_NAME))
    if job.source is not None:
        load_extension(job.source.path)
        if registry.source(job.family) != job.source:
            raise UserError(f"extensions: {job.source.path} was edited; give the command again")
    return job


def predict(job: MemberJob, model: nn.Module, split: Split) -> Predictions:
    """The predictions of a job's model, with the job's settings."""
    return predict_split(
        model,
        split,
        batch_size=job.train.inference_batch_size,
        stored_labels=job.stored_labels,
        workers=job.data.workers,
    )


def train_member(folder: Path, make_objective: Callable[[MemberJob], Objective]) -> None:
    """Trains the member of `folder` and finishes its task.

    Args:
        folder: the task's folder, with `job.json`.
        make_objective: what it is trained on.
    """
    job = load_job(folder)
    task = Task(job.task, folder, job.inputs())
    with task.lock():
        if not task.is_done():
            _train(job, task, make_objective(job))


def _train(job: MemberJob, task: Task, objective: Objective) -> None:
    device = choose_device(job.device)
    entry = registry.get(job.family)
    train_split, splits = _splits(job)
    if job.train.min_frames is not None:
        train_split = with_frames(train_split, job.train.min_frames)
    torch.manual_seed(job.seed)
    config = registry.config_from_dict(job.family, job.config)
    model = registry.build(job.family, config, job.data.schema).to(device)
    trainer = Trainer(
        model,
        objective,
        train_split,
        job.train,
        seed=job.seed,
        folder=task.folder,
        draws_frames=entry.sampling == "draw",
        workers=job.data.workers,
    )
    trained = trainer.run()
    summary = {
        "family": job.family,
        "parameters": parameter_count(model),
        "bytes": model_bytes(model),
        "clips_per_second": round(trained.clips_per_second, 1),
        "training_seconds": round(trained.clips / trained.clips_per_second, 1),
        "peak_memory": peak_memory(device),
    }
    summary |= _keep_better(job, task, model, splits, trained.main, trained.average)
    files = [WEIGHTS_NAME, *(predictions_name(name) for name in splits)]
    task.finish(files, summary)
    (task.folder / CHECKPOINT_NAME).unlink(missing_ok=True)


def _splits(job: MemberJob) -> tuple[Split, dict[str, Split]]:
    """The records to train on, and by name those to predict afterwards."""
    train = job.data.open("train")
    if job.fold is not None:
        train, held = job.fold.divide(train)
        return train, {"search": job.data.open("search"), "fold": held}
    return train, {name: job.data.open(name) for name in ("search", "report")}


def _keep_better(
    job: MemberJob,
    task: Task,
    model: nn.Module,
    splits: dict[str, Split],
    main: dict[str, Tensor],
    average: dict[str, Tensor] | None,
) -> dict[str, object]:
    """Writes weights and predictions of the better phase, by GAP on `search` alone."""
    figures: dict[str, object] = {}
    kept, best = "main", -1.0
    labels = {name: labels_of(split) for name, split in splits.items() if name != "fold"}
    for phase, weights in (("main", main), ("average", average)):
        if weights is None:
            continue
        model.load_state_dict(weights)
        predictions = {name: predict(job, model, split) for name, split in splits.items()}
        scores = {name: gap_of(labels[name], predictions[name]) for name in labels}
        figures |= {f"gap_{name}_{phase}": value for name, value in scores.items()}
        if scores["search"] > best:
            kept, best = phase, scores["search"]
            _write_outcome(task.folder, model, predictions)
    return {**figures, "kept": kept}


def _write_outcome(folder: Path, model: nn.Module, predictions: dict[str, Predictions]) -> None:
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS_NAME) as beside:
        save_file(state, beside)
    for name, value in predictions.items():
        value.save(folder / predictions_name(name))
