"""What every precision costs the students of a run: bytes, compressed bytes, GAP.

    python -m benchmarks.precisions outputs/yt8m_video

Each student of the run is quantized at every precision and predicts with the weights that come
back, on `search` and `report` together: nothing is chosen here, and more clips tell more. Beside
single students stands the bundle of them all: the exact bytes of its file, and the GAP of the flat
mean.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from ensemble import WeightedScorer
from families.size import THRESHOLD
from metrics import Labels, StreamingScores
from quantize import MemberLayout, bundle_bytes, list_precisions, quantize_state
from quantize.precision import FLOAT32
from runs import Predictions
from stages.jobs import JOB_NAME, WEIGHTS_NAME, Training, read_job
from stages.training_work import build_model, predict
from training.inference import labels_of

BUNDLE = "all in a bundle"  # stands where rows of single students have the student's name
SPLITS = ("search", "report")


@dataclass(frozen=True)
class Stored:
    """A student at one precision.

    Attributes:
        name: Of the student.
        precision: The precision's name.
        plain: Its tensors in a file.
        compressed: The same with entropy coding.
        predictions: With the weights as they come back, on each of `SPLITS`.
    """

    name: str
    precision: str
    plain: MemberLayout
    compressed: MemberLayout
    predictions: tuple[Predictions, ...]


def measure(run: Path, threshold: int = THRESHOLD) -> pd.DataFrame:
    """A row a precision and student, or `BUNDLE`: `bytes`, `compressed`, `gap`.

    Args:
        run: Folder of a run whose students are trained.
        threshold: Elements up to which a tensor stays float32.
    """
    jobs = {
        path.parent: job
        for path in sorted(run.glob(f"students/*/{JOB_NAME}"))
        if isinstance(job := read_job(path.parent), Training)
    }
    first = next(iter(jobs.values())).setting
    labels = [labels_of(first.data.open(split)) for split in SPLITS]
    stored = [student for folder, job in jobs.items() for student in _store(folder, job, threshold)]
    rows = [
        {
            "precision": student.precision,
            "student": student.name,
            "bytes": student.plain.tensor_bytes(),
            "compressed": student.compressed.tensor_bytes(),
            "gap": _gap(labels, student.predictions),
        }
        for student in stored
    ]
    for precision in list_precisions():
        members = [student for student in stored if student.precision == precision]
        rows.append(
            {
                "precision": precision,
                "student": BUNDLE,
                "bytes": bundle_bytes(
                    first.data.schema, [student.plain for student in members], {}
                ),
                "compressed": bundle_bytes(first.data.schema, [m.compressed for m in members], {}),
                "gap": _gap(labels, _flat_means(labels, members)),
            }
        )
    return pd.DataFrame(rows)


def _store(folder: Path, job: Training, threshold: int) -> Iterator[Stored]:
    state = load_file(folder / WEIGHTS_NAME)
    setting = job.setting
    model = build_model(setting)
    splits = [setting.data.open(name) for name in SPLITS]
    for precision in list_precisions():
        quantized = quantize_state(state, threshold, precision)
        model.load_state_dict(quantized.dequantize())
        plain, compressed = (
            MemberLayout.of(folder.name, setting.family, setting.config, quantized, entropy)
            for entropy in (False, True)
        )
        found = tuple(
            predict(setting, model, split, job.train.inference_batch_size) for split in splits
        )
        yield Stored(folder.name, precision, plain, compressed, found)


def _flat_means(labels: list[Labels], members: list[Stored]) -> Iterator[Predictions]:
    flat = np.full(len(members), 1 / len(members))
    by_split = zip(*(student.predictions for student in members), strict=True)
    for truth, predictions in zip(labels, by_split, strict=True):
        yield WeightedScorer(predictions, truth).mixed(flat)


def _gap(labels: list[Labels], predictions: Iterable[Predictions]) -> float:
    """GAP on the clips of all splits together."""
    scores = StreamingScores(labels[0].num_labels)
    for truth, found in zip(labels, predictions, strict=True):
        scores.update((found.labels, found.log_odds), truth)
    return scores.compute()["gap"]


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """By precision: the bundle's shares of float32 and its loss, the students' mean and worst."""
    whole = table[table["precision"] == FLOAT32].set_index("student")
    of_float32 = table["student"].map(whole["bytes"])
    table = table.assign(
        share=table["bytes"] / of_float32,
        compressed_share=table["compressed"] / of_float32,
        loss=table["student"].map(whole["gap"]) - table["gap"],
    )
    bundle = table[table["student"] == BUNDLE].set_index("precision")
    losses = table[table["student"] != BUNDLE].groupby("precision")["loss"]
    return pd.DataFrame(
        {
            "of float32": bundle["share"],
            "compressed": bundle["compressed_share"],
            "loss": bundle["loss"],
            "mean loss": losses.mean(),
            "most": losses.max(),
        },
        index=bundle.index,
    )


def main() -> None:
    """Prints the summary."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.precisions outputs/RUN")
    table = summarize(measure(Path(sys.argv[1])))
    print("            file's bytes           loss of GAP")
    print("precision of float32 compressed    bundle  students    the most")
    for name, row in table.iterrows():
        shares = f"{row['of float32']:10.4f} {row['compressed']:10.4f}"
        losses = f"{row['loss']:9.5f} {row['mean loss']:9.5f} {row['most']:11.5f}"
        print(f"{name:9} {shares} {losses}")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
