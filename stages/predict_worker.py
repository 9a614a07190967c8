"""The process that runs a trained member over the training split, for soft targets."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file

from families import registry
from runs import Task
from stages.jobs import WEIGHTS_NAME, predictions_name
from stages.worker import load_job, predict, run_worker
from training.device import choose_device


def predict_training_split(folder: Path) -> None:
    """Writes the predictions of the weights in `extra["folder"]` on the split `train`."""
    job = load_job(folder)
    task = Task(job.task, folder, job.inputs())
    with task.lock():
        config = registry.config_from_dict(job.family, job.config)
        model = registry.build(job.family, config, job.data.schema)
        model.load_state_dict(load_file(Path(job.extra["folder"]) / WEIGHTS_NAME))
        model.to(choose_device(job.device))
        predictions = predict(job, model, job.data.open("train"))
        predictions.save(folder / predictions_name("train"))
        task.finish([predictions_name("train")], {})


if __name__ == "__main__":
    run_worker(predict_training_split)
