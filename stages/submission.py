"""Stages `predict` and `evaluate`: a bundle and shards, to a submission file or to scores."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from common.errors import ConfigError
from common.files import atomic_path
from metrics import StreamingScores
from quantize.bundle.inference import Bundle
from records import Batch, DataError, Split, SplitSpec, iterate_batches, open_split
from stages.workspace import Workspace, say_skipped
from training.device import choose_device

BUNDLE_FOLDER = "bundle"
BUNDLE_NAME = "bundle.safetensors"
KAGGLE_PAIRS = 20
TOP10_LABELS = 10
_BATCH_CLIPS = 256


def predict(workspace: Workspace) -> Path:
    """Writes the submission of a split, a row at a time, and returns its path.

    `format=kaggle`: `VideoId,LabelConfidencePairs`, 20 pairs of label and probability, best first.
    `format=top10`: `VideoId,Labels`, ten labels, best first, separated by spaces.

    Raises:
        ConfigError: no bundle, no data, or no such split.
        records.DataError: a shard is damaged or of another schema than the bundle's.
    """
    config = workspace.config
    bundle = load_bundle(workspace)
    split = choose_split(workspace, bundle, config.split or "test")
    output = Path(config.output or workspace.run.root / f"submission-{split.name}.csv")
    header = "LabelConfidencePairs" if config.format == "kaggle" else "Labels"
    row = _kaggle_row if config.format == "kaggle" else _top10_row
    with atomic_path(output) as beside, beside.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["VideoId", header])
        for batch, log_odds in scored_batches(bundle, split):
            labels, probabilities = _best(log_odds)
            for name, top, chances in zip(batch.ids, labels, probabilities, strict=True):
                writer.writerow([name, row(top, chances)])
    return output


def evaluate(workspace: Workspace) -> dict[str, Any]:
    """Scores a bundle on a labeled split (`split=`, by default `report`).

    Raises:
        ConfigError, records.DataError: as `predict`; also when no clip has a label.
    """
    bundle = load_bundle(workspace)
    return score(bundle, choose_split(workspace, bundle, workspace.config.split or "report"))


def score(bundle: Bundle, split: Split) -> dict[str, Any]:
    """GAP, MAP, MAP@10, Hit@1 and PERR of a bundle over a split, by streaming.

    Raises:
        records.DataError: no clip has a label.
    """
    scores = StreamingScores(split.schema.num_labels)
    labels = 0
    for batch, log_odds in scored_batches(bundle, split):
        labels += len(batch.labels)
        scores.update(log_odds, batch.labels)
    if labels == 0:
        raise DataError(f"split {split.name!r}: its clips have no labels, so there is no score")
    return scores.compute()


def scored_batches(bundle: Bundle, split: Split) -> Iterator[tuple[Batch, torch.Tensor]]:
    """The split's batches with the bundle's log-odds (B, V); all frames are used."""
    for batch in iterate_batches(split, _BATCH_CLIPS):
        batch = batch.to(bundle.device)
        yield batch, bundle.predict(batch)


def load_bundle(workspace: Workspace) -> Bundle:
    """The bundle of `bundle=`, by default the run's own.

    Raises:
        ConfigError: there is no such file.
        BundleError: it is no bundle.
    """
    return Bundle.load(find_bundle(workspace), choose_device(workspace.config.device))


def find_bundle(workspace: Workspace) -> Path:
    """The file of `bundle=`, by default the run's own.

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(workspace.config.bundle or workspace.run.root / BUNDLE_FOLDER / BUNDLE_NAME)
    if not path.is_file():
        raise ConfigError(f"bundle: no file {path}; run stage=pack first or give bundle=/path")
    return path


def choose_split(workspace: Workspace, bundle: Bundle, name: str) -> Split:
    """The split as configured; without any configured split, all shards below `data.root`.

    The records are read by the bundle's schema, whatever the configuration says.
    """
    data = workspace.config.data
    specs = {n: getattr(data, n) for n in ("train", "search", "report", "test")}
    configured = {n: s for n, s in specs.items() if s.shards is not None}
    if configured and name not in configured:
        # Data sets without a test partition: what was never chosen on comes nearest.
        if workspace.config.split is not None or "report" not in configured:
            raise ConfigError(f"data.{name}.shards: not set; give the glob of the split's shards")
        name = "report"
    spec = configured.get(name)
    split = open_split(
        workspace.data_root,
        name,
        SplitSpec(spec.shards, spec.hash_from, spec.hash_to) if spec else SplitSpec(),
        bundle.schema,
        cache=None,
        on_corrupt=data.on_corrupt,
    )
    say_skipped(split)
    return split


def _best(log_odds: torch.Tensor) -> tuple[list[list[int]], list[list[float]]]:
    """The best labels and their probabilities, best first; equal ones by label."""
    order = torch.sort(log_odds, dim=1, descending=True, stable=True)
    values = torch.sigmoid(order.values[:, :KAGGLE_PAIRS].double())
    return order.indices[:, :KAGGLE_PAIRS].tolist(), values.tolist()


def _kaggle_row(labels: list[int], probabilities: list[float]) -> str:
    pairs = zip(labels, probabilities, strict=True)
    return " ".join(f"{label} {probability:.10g}" for label, probability in pairs)


def _top10_row(labels: list[int], probabilities: list[float]) -> str:
    return " ".join(str(label) for label in labels[:TOP10_LABELS])
