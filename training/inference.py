"""A model's predictions on a split: every frame, in the split's order, stored sparse."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from families.base import FamilyModule
from families.layers.memory import RememberingModule
from metrics import Labels, gap
from records import Split, iterate_batches, read_truth
from runs import Predictions, PredictionsWriter, reported
from training.device import device_of


@torch.inference_mode()
def predict_split(
    model: FamilyModule,
    split: Split,
    *,
    batch_size: int,
    stored_labels: int,
    workers: int = 0,
    progress: Path | None = None,
    remembered: Mapping[str, int] | None = None,
    to_score: bool = True,
) -> Predictions:
    """Runs `model` over `split`, in float32: scores differ by what was trained, not by rounding.

    Args:
        model: a family's module, on its device; it is left in evaluation mode.
        split: the records.
        batch_size: clips a forward pass.
        stored_labels: the K best labels are kept a clip.
        workers: decoding processes.
        progress: the folder of the job to report it to.
        remembered: for a model that remembers, by id the rows of clips that are not to see
            themselves.
        to_score: labels that are unknown of a clip come last, as they count in no score.
    """
    device = device_of(model)
    model.eval()
    writer = PredictionsWriter(split.schema.num_labels, stored_labels)
    batches = iterate_batches(split, batch_size, workers=workers)
    steps = math.ceil(len(split) / batch_size)
    for batch in reported(batches, progress, steps, predicts=split.name):
        batch = batch.to(device)
        if isinstance(model, RememberingModule) and remembered is not None:
            rows = torch.tensor([remembered.get(name, -1) for name in batch.ids], device=device)
            log_odds = model.without_own(batch.features, batch.mask, rows)
        else:
            log_odds = model(batch.features, batch.mask)
        writer.append(batch.ids, log_odds, batch.unknown if to_score else None)
    return writer.finish()


def labels_of(split: Split) -> Labels:
    """The true labels of a split, in its order: one pass over its records."""
    truth = read_truth(split)
    return Labels(truth.offsets, truth.columns, split.schema.num_labels, truth.unknown)


def gap_of(labels: Labels, predictions: Predictions) -> float:
    """GAP@20 of predictions on the clips of `labels`."""
    return gap(labels, predictions.labels, predictions.log_odds)
