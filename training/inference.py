"""A model's predictions on a split: every frame, in the split's order, stored sparse."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from families.base import FamilyModule
from families.layers.memory import RememberingModule
from metrics import Labels, gap
from records import Split, iterate_batches, read_truth
from runs import Predictions, PredictionsWriter, reported
from training.device import device_of

# Bytes of models that predict together and of what they predict; one of them may take more.
_HELD = 1 << 30
# Of a label that is stored, about: its number and its log-odds.
_LABEL_BYTES = 8


@torch.inference_mode()
def predict_split(
    models: Sequence[FamilyModule],
    split: Split,
    *,
    batch_size: int,
    stored_labels: int,
    workers: int = 0,
    progress: Path | None = None,
    remembered: Mapping[str, int] | None = None,
    to_score: bool = True,
) -> list[Predictions]:
    """Runs models over `split`, in float32: scores differ by what was trained, not by rounding.

    Args:
        models: modules of families, on one device; each batch is read once for all of them. They
            are left in evaluation mode.
        split: the records.
        batch_size: clips a forward pass.
        stored_labels: the K best labels are kept a clip.
        workers: decoding processes.
        progress: the folder of the job to report it to.
        remembered: for models that remember, by id the rows of clips that are not to see
            themselves.
        to_score: labels that are unknown of a clip come last, as they count in no score.

    Returns:
        Of each model, what it predicts alone.
    """
    device = device_of(models[0])
    for model in models:
        model.eval()
    writers = [PredictionsWriter(split.schema.num_labels, stored_labels) for _ in models]
    batches = iterate_batches(split, batch_size, workers=workers)
    steps = math.ceil(len(split) / batch_size)
    for batch in reported(batches, progress, steps, predicts=split.name):
        batch = batch.to(device)
        for model, writer in zip(models, writers, strict=True):
            if isinstance(model, RememberingModule) and remembered is not None:
                rows = torch.tensor([remembered.get(name, -1) for name in batch.ids], device=device)
                log_odds = model.without_own(batch.features, batch.mask, rows)
            else:
                log_odds = model(batch.features, batch.mask)
            writer.append(batch.ids, log_odds, batch.unknown if to_score else None)
    return [writer.finish() for writer in writers]


def models_at_once(model: FamilyModule, split: Split, stored_labels: int) -> int:
    """How many models like this one predict a split together, by the memory that they take."""
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    stored = min(stored_labels, split.schema.num_labels)
    return max(1, _HELD // (weights + len(split) * stored * _LABEL_BYTES))


def labels_of(split: Split) -> Labels:
    """The true labels of a split, in its order: one pass over its records."""
    truth = read_truth(split)
    return Labels(truth.offsets, truth.columns, split.schema.num_labels, truth.unknown)


def gap_of(labels: Labels, predictions: Predictions) -> float:
    """GAP@20 of predictions on the clips of `labels`."""
    return gap(labels, predictions.labels, predictions.log_odds)
