"""What every precision costs the students of a run: bytes, compressed bytes, GAP.

    python -m benchmarks.precisions outputs/yt8m_video

Each student of the run is quantized at every precision and predicts with the weights that come
back, on `search` and `report` together: nothing is chosen here, and more clips tell more. Those of
4 bits and fewer come a second time, rounded with error feedback as stage `pack` rounds them. Beside
single students stands the bundle of them all: the exact bytes of its file, and the GAP of the flat
mean.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from common.tensors import THRESHOLD
from ensemble import WeightedScorer
from metrics import Labels, StreamingScores
from quantize import MemberLayout, bundle_bytes, list_precisions, quantize_state
from quantize.feedback import codes_with_feedback, takes_feedback
from quantize.moments import input_moments
from quantize.precision import FLOAT32
from quantize.recipes import large_tensors
from runs import Predictions
from stages.job_files import JOB_NAME, read_job
from stages.jobs import WEIGHTS_NAME, Training
from stages.training_work import build_model, predict
from training.inference import labels_of

BUNDLE = "all in a bundle"  # stands where rows of single students have the student's name
SPLITS = ("search", "report")
FEEDBACK = "+feedback"  # stands behind a precision


class Stored(NamedTuple):
    """A student at one precision."""

    name: str
    precision: str
    layouts: list[MemberLayout]  # in a file, as they are and with entropy coding
    predictions: list[Predictions]  # on each of `SPLITS`, with the weights as they come back


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
    data = next(iter(jobs.values())).setting.data
    labels = [labels_of(data.open(split)) for split in SPLITS]
    stored = [student for folder, job in jobs.items() for student in _store(folder, job, threshold)]
    rows = []
    for student in stored:
        sizes = [layout.tensor_bytes() for layout in student.layouts]
        rows.append((student.precision, student.name, *sizes, _gap(labels, student.predictions)))
    for precision in ways():
        members = [student for student in stored if student.precision == precision]
        forms = zip(*(student.layouts for student in members), strict=True)
        sizes = [bundle_bytes(data.schema, layouts, {}) for layouts in forms]
        rows.append((precision, BUNDLE, *sizes, _gap(labels, _flat_means(labels, members))))
    return pd.DataFrame(rows, columns=["precision", "student", "bytes", "compressed", "gap"])


def ways() -> list[str]:
    """All precisions, and behind each that takes error feedback the same with it."""
    return [
        f"{precision}{way}"
        for precision in list_precisions()
        for way in (("", FEEDBACK) if takes_feedback(precision) else ("",))
    ]


def _store(folder: Path, job: Training, threshold: int) -> Iterator[Stored]:
    state = load_file(folder / WEIGHTS_NAME)
    setting = job.setting
    model = build_model(setting)
    splits = [setting.data.open(name) for name in SPLITS]
    model.load_state_dict(state)
    large, size = large_tensors(model, threshold), job.train.inference_batch_size
    moments = input_moments(model, setting.data.open("train"), size, large)
    for way in ways():
        precision = way.removesuffix(FEEDBACK)
        wanted = [(name, precision) for name in large if way != precision]
        ready = codes_with_feedback(state, moments, wanted)
        quantized = quantize_state(state, threshold, precision, ready=ready)
        model.load_state_dict(quantized.dequantize())
        layouts = [
            MemberLayout.of(folder.name, setting.family, setting.config, quantized, entropy)
            for entropy in (False, True)
        ]
        found = [predict(setting, [model], split, size)[0] for split in splits]
        yield Stored(folder.name, way, layouts, found)


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
    table = table.set_index(["student", "precision"])
    whole = table.xs(FLOAT32, level="precision")
    shares = table.div(whole["bytes"], axis="index", level="student").loc[BUNDLE]
    losses = table["gap"].rsub(whole["gap"], level="student")
    single = losses.drop(BUNDLE, level="student").groupby("precision")
    return pd.DataFrame(
        {
            "of float32": shares["bytes"],
            "compressed": shares["compressed"],
            "loss": losses[BUNDLE],
            "mean loss": single.mean(),
            "most": single.max(),
        },
        index=shares.index,
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.precisions outputs/RUN")
    torch.set_grad_enabled(False)
    print("shares of the file's bytes at float32; loss of GAP of the bundle and of single students")
    print(summarize(measure(Path(sys.argv[1]))).to_string(float_format="{:.5f}".format))
