"""The rows of a submission, a clip each."""

import csv
from array import array
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from records import id_number
from stages.packing.scored import Scored

KAGGLE_PAIRS = 20
TOP10_LABELS = 10


def write_header(file: TextIO, style: str) -> None:
    """Writes the first row of a style of `format=`."""
    header, _ = _STYLES[style]
    csv.writer(file, lineterminator="\n").writerow(["VideoId", header])


def write_rows(file: TextIO, scored: Scored, style: str) -> NDArray[np.uint64]:
    """Writes the clips of batches with log-odds (B, V); equal log-odds rank by label.

    Returns:
        (N,) the `id_number` of each clip's id.
    """
    writer, ids = csv.writer(file, lineterminator="\n"), array("Q")
    _, row = _STYLES[style]
    for batch, log_odds in scored:
        order = torch.sort(log_odds, dim=1, descending=True, stable=True)
        labels = order.indices[:, :KAGGLE_PAIRS].tolist()
        probabilities = torch.sigmoid(order.values[:, :KAGGLE_PAIRS].double()).tolist()
        writer.writerows(zip(batch.ids, map(row, labels, probabilities), strict=True))
        ids.extend(map(id_number, batch.ids))
    return np.array(ids)


def _kaggle_row(labels: list[int], probabilities: list[float]) -> str:
    pairs = zip(labels, probabilities, strict=True)
    return " ".join(f"{label} {probability:.10g}" for label, probability in pairs)


def _top10_row(labels: list[int], probabilities: list[float]) -> str:
    return " ".join(map(str, labels[:TOP10_LABELS]))


_STYLES = {"kaggle": ("LabelConfidencePairs", _kaggle_row), "top10": ("Labels", _top10_row)}
