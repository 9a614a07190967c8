"""What a model scores on a sample of `search` while it is trained, at no change of its weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common.errors import ConfigError
from families.base import FamilyModule
from metrics import MetricError, StreamingScores
from records import Split, iterate_batches
from runs import reported
from training.config import TrainConfig
from training.device import device_of
from training.log import Diverged

# The scores that are taken, by the names that `StreamingScores` has for them.
SCORES = ("gap", "hit_at_1", "perr")
# To read a clip costs what it costs in training, and is most of a step of a small model.
_SHARE = 0.05
_LEAST_CLIPS, _MOST_CLIPS = 20, 2_000


class Stopped(Exception):
    """The process was told to end while it scored."""


@dataclass(frozen=True)
class Evaluation:
    """Scores a model on a fixed sample of a split.

    Attributes:
        split: the clips of the sample.
        batch_size: clips a forward pass.
        folder: of the job, which is told how far it is.
        workers: decoding processes.
    """

    split: Split
    batch_size: int
    folder: Path
    workers: int = 0

    @classmethod
    def of(
        cls, split: Split, train: TrainConfig, clips: int, folder: Path, workers: int = 0
    ) -> Evaluation | None:
        """The evaluation that the settings ask for; None where they ask for none.

        Args:
            split: what the sample is taken from.
            train: the settings.
            clips: of the training split.
            folder: of the job.
            workers: decoding processes.
        """
        if not train.evaluate_every:
            return None
        count = train.evaluate_clips
        if count is None:
            share = int(_SHARE * clips * train.evaluate_every)
            count = max(_LEAST_CLIPS, min(share, _MOST_CLIPS))
        sample = spread_evenly(split, count)
        return cls(sample, train.inference_batch_size, folder, workers)

    @torch.no_grad()
    def score(self, model: FamilyModule, is_unwanted: Callable[[], bool]) -> dict[str, float]:
        """GAP@20, Hit@1 and PERR of a model, in float32 as `predict_split` runs it.

        Neither the model's state nor any random number that a training draws changes; the model is
        left in evaluation mode.

        Args:
            model: on its device.
            is_unwanted: asked between batches whether the scores are still wanted.

        Raises:
            Diverged: log-odds are not finite.
            Stopped: the scores are not wanted any more.
            ConfigError: no clip of the sample has a label.
        """
        device = device_of(model)
        model.eval()
        scores = StreamingScores(self.split.schema.num_labels)
        batches = iterate_batches(self.split, self.batch_size, workers=self.workers)
        steps = math.ceil(len(self.split) / self.batch_size)
        for batch in reported(batches, self.folder, steps, evaluates=self.split.name):
            if is_unwanted():
                raise Stopped
            batch = batch.to(device)
            log_odds = model(batch.features, batch.mask)
            if not torch.isfinite(log_odds).all():
                raise Diverged(
                    f"log-odds on {self.split.name} are not finite; lower train.learning_rate or "
                    "train.clip_norm"
                )
            scores.update(log_odds, batch.labels, batch.unknown)
        try:
            found = scores.compute()
        except MetricError:
            raise ConfigError(
                f"train.evaluate_clips: none of the {len(self.split)} clips of {self.split.name} "
                "that are scored during the training has a label; give more, or "
                "train.evaluate_every=0"
            ) from None
        return {name: found[name] for name in SCORES}


def spread_evenly(split: Split, count: int) -> Split:
    """`count` clips of a split at even distances, or all where there are no more."""
    if count >= len(split):
        return split
    return split.select(np.arange(count) * len(split) // count)
