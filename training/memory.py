"""Learning by remembering: the clips that a model without gradients takes into its memory."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.errors import ConfigError
from families.layers.memory import Lesson, RememberingModule
from records import Split, iterate_batches, read_truth
from records.splits import Truth
from runs import reported
from training.device import device_of
from training.objective import Objective


def remember(
    model: RememberingModule,
    objective: Objective,
    split: Split,
    *,
    seed: int,
    batch_size: int,
    folder: Path,
    workers: int = 0,
) -> list[str]:
    """Fills a model's memory; same arguments, same bytes.

    Args:
        model: on its device, its memory empty.
        objective: says the clips' targets.
        split: the clips to choose from.
        seed: of the choice.
        batch_size: clips that are read at a time.
        folder: of the job, which is told how far it is.
        workers: decoding processes.

    Returns:
        The ids of the clips, row by row.

    Raises:
        ConfigError: no clip has a label.
    """
    truth = read_truth(split)
    rows = spread_over_labels(truth, model.capacity, seed)
    if not len(rows):
        raise ConfigError(f"split {split.name!r}: none of its clips has a label to remember")
    device = device_of(model)

    def lessons() -> Iterator[Lesson]:
        batches = iterate_batches(split.select(rows), batch_size, workers=workers)
        steps = math.ceil(len(rows) / batch_size)
        for batch in reported(batches, folder, steps, remembers=split.name):
            batch = batch.to(device)
            targets = objective.targets(batch).dense(len(batch), batch.num_labels)
            yield batch.features, batch.mask, targets

    model.remember(lessons())
    return [str(name) for name in truth.ids[rows]]


def spread_over_labels(truth: Truth, count: int, seed: int) -> np.ndarray:
    """Chooses clips at random, those with rare labels first.

    A clip's chance grows with the inverse square root of how often its rarest label comes: of a
    label that all clips have few are enough, of one that ten have none is to be lost. (Efraimidis &
    Spirakis 2006: the greatest u^(1/w) are a weighted draw without replacement.)

    Args:
        truth: the clips' labels.
        count: how many to choose, at most; clips without a label are never chosen.
        seed: of the draw.

    Returns:
        Their rows, ascending.
    """
    labeled = np.flatnonzero(np.diff(truth.offsets))
    if len(labeled) <= count:
        return labeled
    frequency = np.bincount(truth.columns)[truth.columns]
    rarest = np.minimum.reduceat(frequency, truth.offsets[labeled])
    draws = np.random.default_rng(seed).random(len(labeled))
    # The logarithm of u^(1/w), which does not underflow.
    best = np.argsort(-np.log(draws) / rarest**-0.5, kind="stable")[:count]
    return np.sort(labeled[best])
