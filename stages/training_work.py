"""What the process of a training or a prediction does: weights and predictions in its folder."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.files import atomic_path, read_json, write_json
from common.units import format_bytes
from distill.objective import SoftAndHardLabels
from distill.soft_targets import SOFT_TARGETS_NAME, SoftTargets
from families import FamilyModule, registry
from families.layers.memory import RememberingModule
from families.size import model_bytes, parameter_count
from metrics import Labels, StreamingScores
from records import Split, with_frames
from runs import NOTE, Predictions, Task, append_log
from runs.run_time import read_share
from stages.job import Upstream
from stages.jobs import (
    UNLABELED,
    WEIGHTS_NAME,
    Prediction,
    Setting,
    Training,
    predictions_name,
)
from stages.summaries import TrainingSummary
from training.checkpoint import CHECKPOINT_NAME
from training.device import choose_device, peak_memory
from training.evaluation import Evaluation
from training.feed import Beside
from training.inference import gap_of, labels_of, predict_split
from training.memory import remember
from training.objective import HardLabels, Objective
from training.ranks import ALONE, Ranks
from training.time_limit import TimeLimit
from training.trained import Trained
from training.trainer import Trainer

# The ids of the clips that a model remembers, row by row.
REMEMBERED_NAME = "remembered.json"


def build_model(setting: Setting) -> FamilyModule:
    """A job's model, freshly initialized, on its device; on its host, if it has one."""
    schema, device = setting.data.schema, choose_device(setting.device)
    model = registry.build(setting.family, setting.config, schema).to(device)
    if setting.host is not None:
        host = registry.build(setting.host.family, setting.host.config, schema)
        host.load_state_dict(load_file(setting.host.trained.file(WEIGHTS_NAME)))
        model.stand_on(host.to(device).eval())
    return model


def predict(
    setting: Setting,
    models: Sequence[FamilyModule],
    split: Split,
    batch_size: int,
    progress: Path | None = None,
    remembered: Mapping[str, int] | None = None,
    to_score: bool = True,
) -> list[Predictions]:
    """The predictions of a job's models; the last three arguments are those of `predict_split`."""
    return predict_split(
        models,
        split,
        batch_size=batch_size,
        stored_labels=setting.stored_labels,
        workers=setting.data.workers,
        progress=progress,
        remembered=remembered,
        to_score=to_score,
    )


def predict_states(
    setting: Setting,
    model: FamilyModule,
    states: Iterable[Mapping[str, Tensor]],
    split: Split,
    batch_size: int,
    progress: Path | None = None,
) -> list[Predictions]:
    """The predictions of a job's model with each of some states, from one reading of the split.

    The first state is loaded into `model`, each of the others into a model of its own.
    """
    models: list[FamilyModule] = []
    for state in states:
        models.append(build_model(setting) if models else model)
        models[-1].load_state_dict(state)
        # Of a large model not even one may stay beside it.
        del state
    return predict(setting, models, split, batch_size, progress) if models else []


def predict_clips(job: Prediction, task: Task) -> None:
    """Writes the predictions of trained weights on a split.

    A model that remembers is asked as if it did not know the clip: all others would follow it.
    """
    model = build_model(job.setting)
    model.load_state_dict(load_file(job.trained.file(WEIGHTS_NAME)))
    own = None
    if isinstance(model, RememberingModule):
        ids = read_json(job.trained.file(REMEMBERED_NAME))
        own = {name: row for row, name in enumerate(ids)}
    split, name = job.setting.open(job.split), predictions_name(job.split)
    if job.end is not None:
        split = split.select(np.arange(job.start, job.end))
    began = time.monotonic()
    # Students learn from what a teacher says of labels that nobody knows.
    given = job.batch_size, task.folder, own
    (found,) = predict(job.setting, [model], split, *given, to_score=False)
    found.save(task.folder / name)
    seconds = time.monotonic() - began
    append_log(task.folder, f"predicted {len(split):,} clips of {job.split} in {seconds:.1f} s")
    task.finish([name], {})


def train(job: Training, task: Task, ranks: Ranks = ALONE) -> None:
    """Trains a member, from its last checkpoint if there is one, and finishes its task.

    One that remembers is done at once, and begins anew where it was killed. Of several ranks that
    train together the first does what comes afterwards.
    """
    setting = job.setting
    train_split = _long_enough(job, setting.open("train"))
    splits = {name: setting.open(name) for name in job.predicted}
    torch.manual_seed(job.seed)
    model = build_model(setting)
    began = time.monotonic()
    if ranks.leads:
        devices = f"{ranks.count} of them, " if ranks.count > 1 else ""
        append_log(
            task.folder,
            f"trains {setting.family}, {parameter_count(model):,} parameters, on "
            f"{len(train_split):,} clips of train, on {choose_device(setting.device)}, {devices}"
            f"precision {job.train.precision}, seed {job.seed}",
        )
    files = [WEIGHTS_NAME, *map(predictions_name, splits)]
    if isinstance(model, RememberingModule):
        trained = _remember(job, task, model, train_split)
        files.append(REMEMBERED_NAME)
    else:
        trainer = Trainer(
            model,
            _objective(job),
            train_split,
            job.train,
            seed=job.seed,
            folder=task.folder,
            draws_frames=registry.get(setting.family).sampling == "draw",
            workers=setting.data.workers,
            beside=_beside(job),
            evaluation=_evaluation(job, task, splits, len(train_split)),
            stop=job.stop,
            limit=_limit(job, task),
            ranks=ranks,
        )
        trained = trainer.run()
        ranks.part()
        if not ranks.leads:
            return
        if trained.shortened:
            told = f"there was time for {trained.steps} of {trained.planned_steps} steps"
            print(f"{NOTE}{told}", flush=True)
    summary = TrainingSummary(
        family=setting.family,
        parameters=parameter_count(model),
        bytes=model_bytes(model),
        clips_per_second=round(trained.clips_per_second, 1),
        training_seconds=round(trained.seconds, 1),
        evaluation_seconds=round(trained.evaluation_seconds, 1),
        peak_memory=peak_memory(choose_device(setting.device)),
        cpu_load=trained.cpu_load,
        gpu_load=trained.gpu_load,
        learning_rate=job.train.learning_rate if trained.steps else None,
        batch_size=job.train.batch_size if trained.steps else None,
        epochs=trained.epochs,
        stop=trained.stop,
        loss=trained.loss,
        steps=trained.steps,
        planned_steps=trained.planned_steps,
        shortened=trained.shortened,
        **_keep_better(job, task, model, splits, trained),
    )
    append_log(
        task.folder,
        f"kept {summary.kept}; trained at {summary.clips_per_second:,.0f} clips a second, all in "
        f"{time.monotonic() - began:.1f} s, with {format_bytes(summary.peak_memory)} of memory",
    )
    task.finish(files, summary)
    (task.folder / CHECKPOINT_NAME).unlink(missing_ok=True)


def _remember(job: Training, task: Task, model: RememberingModule, split: Split) -> Trained:
    """Fills a model's memory, and notes whom it remembers."""
    started = time.monotonic()
    ids = remember(
        model,
        _objective(job),
        split,
        seed=job.seed,
        batch_size=job.train.inference_batch_size,
        folder=task.folder,
        workers=job.setting.data.workers,
    )
    write_json(task.folder / REMEMBERED_NAME, ids)
    return Trained(model.state_dict(), None, len(ids), time.monotonic() - started)


def _objective(job: Training) -> Objective:
    if job.soft is None:
        return HardLabels()

    def load(written: Upstream) -> SoftTargets:
        return SoftTargets.load(written.file(SOFT_TARGETS_NAME), job.setting.data.schema.num_labels)

    further, hard_weight = job.soft.unlabeled, job.soft.hard_weight
    if further is None:
        return SoftAndHardLabels(load(job.soft.targets), hard_weight)
    targets = load(job.soft.targets), hard_weight, load(further.targets), further.weight
    return SoftAndHardLabels(*targets)


def _beside(job: Training) -> Beside | None:
    """The clips without labels that a student is shown, if there are any."""
    if job.soft is None or job.soft.unlabeled is None:
        return None
    further = _long_enough(job, job.setting.open(UNLABELED))
    return Beside(further, job.soft.unlabeled.share)


def _limit(job: Training, task: Task) -> TimeLimit | None:
    """What the training may take: by its settings, and of what the run may take."""
    if not job.is_limited:
        return None
    minutes = job.train.time_limit
    return TimeLimit(
        whole=math.inf if minutes is None else 60 * minutes,
        share=read_share(task.folder) if job.in_time else math.inf,
    )


def _evaluation(
    job: Training, task: Task, splits: Mapping[str, Split], clips: int
) -> Evaluation | None:
    """What scores the weights while they are trained; `report` is for the end alone."""
    if "search" not in splits:
        return None
    workers = job.setting.data.workers
    return Evaluation.of(splits["search"], job.train, clips, task.folder, workers)


def _long_enough(job: Training, split: Split) -> Split:
    """Its clips that are long enough to be learned from."""
    least = job.train.min_frames
    return split if least is None else with_frames(split, least)


def _keep_better(
    job: Training,
    task: Task,
    model: FamilyModule,
    splits: Mapping[str, Split],
    trained: Trained,
) -> dict[str, Any]:
    """Writes weights and predictions of the phase that is kept: see `Training.phase`."""
    figures: dict[str, Any] = {}
    kept, best = "main", -1.0
    labels = {name: labels_of(split) for name, split in splits.items()}
    for phase, weights in (("main", trained.main), ("average", trained.average)):
        if weights is None:
            continue
        model.load_state_dict(weights)
        given = job.train.inference_batch_size, task.folder
        predictions = {
            name: predict(job.setting, [model], split, *given)[0] for name, split in splits.items()
        }
        scores = {name: gap_of(labels[name], predictions[name]) for name in labels}
        figures |= {f"gap_{name}_{phase}": value for name, value in scores.items()}
        said = ", ".join(f"{gap:.5f} on {name}" for name, gap in scores.items())
        append_log(task.folder, f"{phase}: GAP {said}")
        rank = float(phase == job.phase) if job.phase else scores["search"]
        if rank > best:
            kept, best = phase, rank
            _write_outcome(task.folder, model, predictions)
            if "report" in labels:
                figures |= _on_report(labels["report"], predictions["report"])
    return {**figures, "kept": kept}


def _on_report(labels: Labels, predictions: Predictions) -> dict[str, float]:
    """MAP@10, and MAP of the labels that are stored; their standard errors, and that of GAP."""
    scores = StreamingScores(labels.num_labels)
    scores.update((predictions.labels, predictions.log_odds), labels)
    found = scores.compute() | scores.errors()
    names = ("map_at_10", "map", "gap_error", "map_at_10_error", "map_error")
    return {f"{name}_report": found[name] for name in names}


def _write_outcome(folder: Path, model: FamilyModule, predictions: dict[str, Predictions]) -> None:
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with atomic_path(folder / WEIGHTS_NAME) as beside:
        save_file(state, beside)
    for name, value in predictions.items():
        value.save(folder / predictions_name(name))
