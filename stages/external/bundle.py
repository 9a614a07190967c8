"""What a bundle says of `search` and `report`, by which it is weighed beside external models.

On `search` that must be of clips that its models were not trained on. Without folds they never are.
With folds all clips are trained on in the end, and the models of the folds stand for those that are
packed: each says what it thinks of the clips that it did not see, at the precisions of the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.codec import from_plain
from common.errors import ConfigError
from common.files import sha256_file
from common.messages import warn
from ensemble import WeightedScorer
from quantize.bundle.content import read_bundle
from quantize.bundle.inference import Bundle
from quantize.errors import BundleError
from records.seen import count_seen
from runs import PredictionsWriter, Task
from stages.config import copy_name
from stages.distill import load_students
from stages.execute import Tasks
from stages.external.predictions import ClipSet
from stages.jobs import predictions_name
from stages.packing.catalogue import Catalogue
from stages.packing.receipt import Receipt, seen_by
from stages.packing.scored import scored_batches
from stages.teachers import load_teachers
from stages.workspace import Workspace
from training.device import choose_device


def bundle_task(workspace: Workspace, bundle: Path, clips: ClipSet) -> Task:
    """The task `blend/<split>`, which has the bundle's predictions of `search` or `report`.

    Raises:
        ConfigError: its models were trained on clips of `search`.
    """
    if clips.name == "search" and workspace.folds:
        return _unseen_by_folds(workspace, bundle, clips)
    (split,) = clips.splits
    if clips.name == "search":
        _check_unseen(bundle, clips)
    stored = workspace.config.ensemble.stored_labels

    def work(task: Task) -> tuple[list[str], Any]:
        loaded = Bundle.load(bundle, choose_device(workspace.config.device))
        writer = PredictionsWriter(split.schema.num_labels, stored)
        for batch, log_odds in scored_batches(loaded, split, f"bundle on {split.name}"):
            writer.append(batch.ids, log_odds, batch.unknown)
        writer.finish().save(task.folder / predictions_name(clips.name))
        return [predictions_name(clips.name)], {}

    inputs = {
        "bundle": sha256_file(bundle),
        "clips": clips.fingerprints,
        "stored_labels": stored,
        "device": workspace.config.device,
        "extensions": sorted(extension.digest for extension in workspace.extensions),
    }
    return Tasks(workspace).of_work(f"blend/{clips.name}", inputs, work, ("stages.packing.scored",))


def _check_unseen(bundle: Path, clips: ClipSet) -> None:
    """Raises ConfigError where the bundle may have been trained on the clips."""
    receipt = read_bundle(bundle).receipt
    hashes = receipt.get("hashes", {})
    # With folds there is no such split: all of its clips are trained on.
    if [hashes.get("data", {}).get(clips.name)] == clips.fingerprints:
        return
    seen = seen_by(receipt)
    if not seen:
        warn(f"{bundle} does not say which clips it has seen: those of search may be among them")
    count = sum(count_seen(split, seen) for split in clips.splits)
    if count:
        raise ConfigError(
            f"external: {count} clips of search are among those that {bundle} was trained or "
            "chosen on by another configuration, and would make too much of it; give that "
            "configuration, with its folds, or other clips as data.search"
        )


def _unseen_by_folds(workspace: Workspace, bundle: Path, clips: ClipSet) -> Task:
    catalogue = Catalogue(workspace, load_students(workspace, load_teachers(workspace)), "pack")
    packed = read_bundle(bundle).receipt
    receipt = from_plain(Receipt, packed, f"{bundle}: receipt", BundleError)
    choice, weights = _choice(workspace, bundle, receipt, catalogue)
    mix = workspace.config.ensemble.mix

    def work(task: Task) -> tuple[list[str], Any]:
        found = [catalogue.on_search(name, recipe) for name, recipe in choice.items()]
        row = np.array(list(weights.values()))
        mixed = WeightedScorer(found, clips.labels(), mix=mix).mixed(row / row.sum())
        mixed.save(task.folder / predictions_name(clips.name))
        return [predictions_name(clips.name)], {}

    inputs = {
        "choice": choice,
        "weights": weights,
        "mix": mix,
        "clips": clips.fingerprints,
        "measured": [task.digest() for task in catalogue.tasks],
    }
    return Tasks(workspace).of_work(
        f"blend/{clips.name}", inputs, work, ("stages.packing.catalogue", "stages.summaries")
    )


def _choice(
    workspace: Workspace, bundle: Path, receipt: Receipt, catalogue: Catalogue
) -> tuple[Mapping[str, str], Mapping[str, float]]:
    """By student in a bundle: the recipe by which it is stored, and its weight.

    Raises:
        ConfigError: it was packed from other models than the run has now.
    """
    packed = {member.name: member for member in receipt.members}
    now = {
        model.name: model.job.trained.digest
        for models in catalogue.models.values()
        for model in models
    }
    hashes = receipt.hashes.get("students", {})
    if not packed or any(now.get(name) != hashes.get(name) for name in packed):
        raise ConfigError(
            f"external: {bundle} was packed from other models than {workspace.run.root} has; with "
            "folds they must be those, for what they say of clips that they did not see: run "
            "stage=pack first"
        )
    models = {
        student: [own for n in range(len(found)) if (own := copy_name(student, n + 1)) in packed]
        for student, found in catalogue.models.items()
    }
    choice = {name: packed[own[0]].precision for name, own in models.items() if own}
    weights = {name: sum(packed[one].weight for one in models[name]) for name in choice}
    return choice, weights
