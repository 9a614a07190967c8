"""What members say of labeled clips that they were not trained on: of a run, or made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.generated import generate_scores
from common.errors import UserError
from metrics import Labels
from quantize.precision import UNIFORM8
from records import read_truth
from records.folds import HELD
from runs import Predictions, PredictionsWriter
from stages.job_files import JOB_NAME, read_job
from stages.jobs import Measurement, predictions_name

MEMBERS, CLIPS, LABELS, STORED = 8, 7500, 1000, 100  # of made-up scores
WORST_NOISE = 0.7  # in log-odds, of the last member of these; the first has none of it


@dataclass(frozen=True)
class Evidence:
    """N clips.

    Attributes:
        members: By name, predictions of these clips.
        labels: What is true of them.
        whole: The same members before they were quantized; empty where they were not.
    """

    members: Mapping[str, Predictions]
    labels: Labels
    whole: Mapping[str, Predictions]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ids(self) -> np.ndarray:
        """(N,) str."""
        return next(iter(self.members.values())).ids

    def select(self, rows: np.ndarray) -> Evidence:
        """The clips of these numbers (n,), in that order."""
        return replace(
            self,
            members={name: found.select(rows) for name, found in self.members.items()},
            labels=self.labels.select(rows),
            whole={name: found.select(rows) for name, found in self.whole.items()},
        )


def of_run(run: Path) -> Evidence:
    """The students of a run, at uniform8 and as trained, on all that they were measured on.

    That is `search` and `report`; of a run with folds, the fold that each student did not see.

    Raises:
        UserError: Nothing was measured yet, or not at uniform8.
    """
    # What is packed of a run with folds was trained on all clips but those of `report`.
    jobs = _measurements(run, "folds/*/quantized/*") or _measurements(run, "quantized/*")
    quantized: dict[str, list[Predictions]] = {}
    whole: dict[str, list[Predictions]] = {}
    truths: list[Labels] = []
    for folder, job in jobs.items():
        unseen = [HELD] if job.scored == HELD else ["search", "report"]
        for split in [name for name in job.splits if name in unseen]:
            scored = folder / predictions_name(f"{split}-{UNIFORM8}")
            path = scored if scored.exists() else folder / predictions_name(split)
            found = quantized.setdefault(job.student, [])
            found.append(Predictions.load(path))
            trained = job.trained.file(predictions_name(split))
            whole.setdefault(job.student, []).append(Predictions.load(trained))
            if len(found) > len(truths):
                truth = read_truth(job.setting.data.open(split))
                num_labels = job.setting.data.schema.num_labels
                truths.append(Labels(truth.offsets, truth.columns, num_labels, truth.unknown))
    if not jobs:
        raise UserError(f"{run}: no student is measured here; run stage=pack first")
    return Evidence(_joined(quantized), Labels.concatenate(truths), _joined(whole))


def _measurements(run: Path, place: str) -> dict[Path, Measurement]:
    """By folder."""
    return {
        path.parent: job
        for path in sorted(run.glob(f"{place}/{JOB_NAME}"))
        if isinstance(job := read_job(path.parent), Measurement)
    }


def _joined(parts: Mapping[str, Sequence[Predictions]]) -> dict[str, Predictions]:
    return {name: Predictions.concatenate(found) for name, found in parts.items()}


def made_up(
    members: int = MEMBERS, clips: int = CLIPS, num_labels: int = LABELS, stored: int = STORED
) -> Evidence:
    """Members that are the worse the later they come, each by noise of its own."""
    dense, labels = generate_scores(members, clips, num_labels)
    generator = np.random.default_rng(1)
    ids = [f"clip{clip}" for clip in range(clips)]
    found = {}
    for number, (scores, noise) in enumerate(
        zip(dense, np.linspace(0, WORST_NOISE, members), strict=True)
    ):
        scores += noise * generator.standard_normal(scores.shape, dtype=np.float32)
        writer = PredictionsWriter(num_labels, stored)
        writer.append(ids, torch.from_numpy(scores))
        found[f"member {number}"] = writer.finish()
    return Evidence(found, labels, {})
