"""Stage `predict`: a bundle and shards, to a submission file."""

import csv
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.codec import to_plain
from common.errors import UserError
from common.files import atomic_path, read_json, sha256_file, write_json
from ensemble.blend import Blend
from quantize.bundle.content import read_bundle
from quantize.bundle.inference import Bundle
from records import Split, check_ids, id_number
from runs import content_key
from stages.external.bundle_blend import BundleBlend, Scored
from stages.packing.bundles import choose_split, find_bundle, scored_batches
from stages.packing.outdated import submission_names
from stages.stage import stage
from stages.workspace import Workspace
from training.device import choose_device

KAGGLE_PAIRS = 20
TOP10_LABELS = 10


@dataclass(frozen=True)
class Submission:
    """The file of a submission; where it is of external models too, their weights and scores."""

    path: Path
    blend: Blend | None = None


@stage("predict", help="bundle and shards to a submission file", needs=("pack",))
def predict(workspace: Workspace) -> Submission:
    """Writes the submission of a split (`split=`, by default `test`).

    `format=kaggle`: `VideoId,LabelConfidencePairs`, 20 pairs of label and probability, best first.
    `format=top10`: `VideoId,Labels`, ten labels, best first, separated by spaces.

    A record of what it was made from lies in the run's folder; the file is not written again as
    long as it is still the one. With `external` it is a blend, whose weights and scores are in the
    record too.

    Raises:
        ConfigError: no bundle or no data, or the predictions of an external model are not as they
            ought to be.
        records.DataError: there is no such split, a shard is damaged or of another schema than the
            bundle's, or an id is there twice.
    """
    config = workspace.config
    found = find_bundle(workspace)
    schema = read_bundle(found).schema
    split = choose_split(workspace, schema, "test")
    root = workspace.run.root
    submission, record = (root / name for name in submission_names(split.name))
    output = Path(config.output or submission)
    blended = BundleBlend.of(workspace, found, schema, split) if config.external else None
    key = content_key(
        {
            "bundle": sha256_file(found),
            "data": split.fingerprint,
            "format": config.format,
            "device": config.device,
            "extensions": sorted(extension.digest for extension in workspace.extensions),
            **({"blend": blended.digests} if blended else {}),
        }
    )
    made: dict[str, Any] = {"key": key, "own": found.resolve().is_relative_to(root.resolve())}
    if blended:
        made |= {"blend": to_plain(blended.blend), "not_packed": list(blended.external)}
    if not (output.is_file() and _recorded(record) == {**made, "sha256": sha256_file(output)}):
        bundle = Bundle.load(found, choose_device(config.device))
        scored: Scored = scored_batches(bundle, split, f"predict {split.name}")
        if blended:
            scored = blended.batches(scored)
        write_submission(output, scored, split, config.format)
        write_json(record, {**made, "sha256": sha256_file(output)})
    return Submission(output, blended.blend if blended else None)


def _recorded(record: Path) -> object:
    try:
        return read_json(record)
    except UserError:
        return None


def write_submission(output: Path, scored: Scored, split: Split, style: str) -> None:
    """Writes a row at a time; equal log-odds rank by label.

    Args:
        output: the file.
        scored: the batches of the split, with log-odds (B, V).
        split: what is predicted.
        style: as in `format=`.

    Raises:
        records.DataError: a shard is damaged, or an id is there twice.
    """
    ids = array("Q")
    header, row = _STYLES[style]
    with atomic_path(output) as beside, beside.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["VideoId", header])
        for batch, log_odds in scored:
            order = torch.sort(log_odds, dim=1, descending=True, stable=True)
            labels = order.indices[:, :KAGGLE_PAIRS].tolist()
            probabilities = torch.sigmoid(order.values[:, :KAGGLE_PAIRS].double()).tolist()
            writer.writerows(zip(batch.ids, map(row, labels, probabilities), strict=True))
            ids.extend(map(id_number, batch.ids))
        check_ids([(split, np.array(ids))])


def _kaggle_row(labels: list[int], probabilities: list[float]) -> str:
    pairs = zip(labels, probabilities, strict=True)
    return " ".join(f"{label} {probability:.10g}" for label, probability in pairs)


def _top10_row(labels: list[int], probabilities: list[float]) -> str:
    return " ".join(map(str, labels[:TOP10_LABELS]))


_STYLES = {"kaggle": ("LabelConfidencePairs", _kaggle_row), "top10": ("Labels", _top10_row)}
