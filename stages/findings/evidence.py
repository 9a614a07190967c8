"""How good a run's result is, clip by clip and label by label, on `report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.codec import from_plain
from common.files import read_json
from ensemble import WeightedScorer
from ensemble.choice import Choice
from ensemble.contribution import Contribution, contributions, error_correlations
from metrics import Labels, StreamingScores
from metrics.by_label import LabelScores, score_labels
from metrics.calibration import Calibration, calibrate
from metrics.clips import average_precisions, cross_entropies
from metrics.ranking import rank
from quantize.bundle.inference import Bundle
from records import read_truth
from runs import Predictions, PredictionsWriter, RunError, Task
from stages.config import copy_name
from stages.ensemble import CHOICE_NAME
from stages.execute import Tasks
from stages.findings.models import Model, finished
from stages.jobs import predictions_name
from stages.packing.bundles import BUNDLE_FOLDER, BUNDLE_NAME
from stages.packing.receipt import Receipt
from stages.packing.scored import scored_batches
from stages.workspace import Workspace
from training.device import choose_device

POOLED = 20
WORST, SAID = 60, 5
# Of more members the matrix is wider than a page.
CORRELATED = 150


@dataclass(frozen=True)
class WrongClip:
    """A clip that the result is wrong about.

    Attributes:
        id: the clip's, as it stands in the data.
        cross_entropy: of its labels, in nats; with labels that are not stored, at least that.
        average_precision: of its best labels, against all that it has.
        labels: those that it has, with the probability that each was given; None where that is not
            stored.
        said: the labels that were given the greatest, likewise.
    """

    id: str
    cross_entropy: float
    average_precision: float
    labels: list[tuple[int, float | None]]
    said: list[tuple[int, float]]


@dataclass(frozen=True)
class Evidence:
    """What is known of a result from the clips of `report`.

    Attributes:
        subject: what was scored, in words.
        clips: how many there are.
        scores: by name, with their standard errors under `<name>_error`.
        weights: of its members.
        contributions: of those, in their order, from the float32 weights of each.
        correlations: (M, M), of the errors of each member's first model; None where there are too
            many to show.
        by_label: of every label.
        calibration: of the labels that are stored of each clip.
        worst: the clips with the greatest cross-entropy.
    """

    subject: str
    clips: int
    scores: dict[str, float]
    weights: dict[str, float]
    contributions: dict[str, Contribution | None]
    correlations: np.ndarray | None
    by_label: LabelScores
    calibration: Calibration
    worst: list[WrongClip]


def gather_evidence(
    workspace: Workspace,
    teachers: Mapping[str, Model],
    students: Mapping[str, Model],
    receipt: Receipt | None,
) -> Evidence | None:
    """Scores the bundle if there is one, otherwise what would go into it; None without a model.

    Raises:
        UserError: the data is gone, or it is no longer what was predicted.
    """
    subject, members, weights = _members(workspace, teachers, students, receipt)
    if not members:
        return None
    truth = read_truth(workspace.data.open("report"))
    labels = Labels(truth.offsets, truth.columns, workspace.schema.num_labels, truth.unknown)
    for name, models in members.items():
        if not all(np.array_equal(own.ids, truth.ids) for own in models):
            raise RunError(f"{name}: predicted other clips than `report` has now")
    mixed = None if receipt is None else predict_bundle(workspace, receipt)
    return weigh(subject, members, weights, labels, workspace.config.ensemble.mix, mixed)


def weigh(
    subject: str,
    members: Mapping[str, Sequence[Predictions]],
    weights: Mapping[str, float],
    labels: Labels,
    mix: str,
    mixed: Predictions | None = None,
) -> Evidence:
    """What members and their mix say of clips, held against the truth.

    Args:
        subject: what is scored, in words.
        members: by name, the predictions of its models, which share its weight.
        weights: by name, in the same order.
        labels: the true labels of the clips.
        mix: as in `WeightedScorer`.
        mixed: the predictions of the whole; None for the weighted mean of the members.
    """
    models = [own for found in members.values() for own in found]
    row = np.array([weights[name] / len(own) for name, own in members.items() for _ in own])
    ends = np.cumsum([len(own) for own in members.values()]).tolist()
    places = [range(end - len(own), end) for end, own in zip(ends, members.values(), strict=True)]
    scorer = WeightedScorer(models, labels, mix=mix)
    if mixed is None:
        mixed = scorer.mixed(row)
    scores = StreamingScores(labels.num_labels)
    scores.update((mixed.labels, mixed.log_odds), labels)
    correlations = None
    if 1 < len(members) <= CORRELATED:
        firsts = [own[0] for own in members.values()]
        correlations = error_correlations(firsts, labels, mixed.labels[:, :POOLED])
    return Evidence(
        subject,
        len(labels),
        scores.compute() | scores.errors(),
        dict(weights),
        dict(zip(members, contributions(scorer, row, places), strict=True)),
        correlations,
        score_labels(labels, mixed.labels, mixed.log_odds),
        calibrate(labels, mixed.labels, mixed.log_odds),
        _worst(labels, mixed),
    )


def _members(
    workspace: Workspace,
    teachers: Mapping[str, Model],
    students: Mapping[str, Model],
    receipt: Receipt | None,
) -> tuple[str, dict[str, list[Predictions]], dict[str, float]]:
    """What there is to be scored, in words; its members' predictions, and their weights."""
    done = {name: own for name, own in students.items() if own.marker}
    if receipt is not None:
        subject, shares = "the bundle", {own.name: own.weight for own in receipt.members}
    elif done:
        named = [name for name in workspace.config.students if name in done]
        subject = f"the flat mean of {len(named)} students"
        shares = dict.fromkeys(named, 1 / max(len(named), 1))
    else:
        done = {name: own for name, own in teachers.items() if own.marker}
        subject, shares = _teachers(workspace, list(done))
    copies = receipt.copies if receipt else 1
    members: dict[str, list[Predictions]] = {}
    weights: dict[str, float] = {}
    for name in workspace.config.students | workspace.config.members:
        own = [copy for n in range(copies) if (copy := copy_name(name, n + 1)) in shares]
        if own:
            members[name] = [done[copy].predictions("report") for copy in own]
            weights[name] = sum(shares[copy] for copy in own)
    return subject, members, weights


def _teachers(workspace: Workspace, done: Sequence[str]) -> tuple[str, dict[str, float]]:
    """Finished teachers with their searched weights; as long as there are none, with even ones."""
    searched = _searched_weights(workspace)
    weights = {name: weight for name, weight in searched.items() if weight > 0}
    if weights and weights.keys() <= set(done):
        return f"the weighted mean of {len(weights)} teachers", weights
    flat = dict.fromkeys(done, 1 / max(len(done), 1))
    return f"the flat mean of {len(done)} teachers", flat


def _searched_weights(workspace: Workspace) -> dict[str, float]:
    folder = workspace.run.root / "ensemble"
    marker = finished(folder)
    if marker is None:
        return {}
    path = marker.file(folder, CHOICE_NAME)
    return from_plain(Choice, read_json(path), str(path), RunError).weights


def predict_bundle(workspace: Workspace, receipt: Receipt) -> Predictions:
    """The predictions of the run's bundle on `report`, from the file itself; made once."""
    split = workspace.data.open("report")
    name = predictions_name("report")

    def work(task: Task) -> tuple[list[str], Any]:
        path = workspace.run.root / BUNDLE_FOLDER / BUNDLE_NAME
        bundle = Bundle.load(path, choose_device(workspace.config.device))
        writer = PredictionsWriter(split.schema.num_labels, workspace.config.ensemble.stored_labels)
        for batch, log_odds in scored_batches(bundle, split, "bundle on report"):
            writer.append(batch.ids, log_odds, batch.unknown)
        writer.finish().save(task.folder / name)
        return [name], {}

    inputs = {
        "bundle": receipt.sha256,
        "fingerprint": split.fingerprint,
        "stored_labels": workspace.config.ensemble.stored_labels,
        "device": workspace.config.device,
    }
    task = Tasks(workspace).of_work("report/bundle", inputs, work, ("stages.packing.bundles",))
    return Predictions.load(task.file(name))


def _worst(labels: Labels, mixed: Predictions) -> list[WrongClip]:
    """The clips whose labels surprise most; those without labels are left out."""
    surprise = cross_entropies(labels, mixed.labels, mixed.log_odds, mixed.left_out, mixed.tail)
    counts = labels.counts
    precision = np.zeros(len(labels))
    ranking = rank(labels, mixed.labels, mixed.log_odds, POOLED)
    precision[counts > 0] = average_precisions(ranking, counts)
    surprise = np.where(counts > 0, surprise, -np.inf)
    order = np.argsort(-surprise, kind="stable")[: min(WORST, int((counts > 0).sum()))]
    return [
        _wrong_clip(labels, mixed, row, float(surprise[row]), float(precision[row]))
        for row in order.tolist()
    ]


def _wrong_clip(
    labels: Labels, mixed: Predictions, row: int, surprise: float, precision: float
) -> WrongClip:
    log_odds = mixed.log_odds[row].astype(np.float64)
    probabilities = (0.5 + 0.5 * np.tanh(log_odds / 2)).tolist()
    given: Sequence[tuple[int, float]] = list(
        zip(mixed.labels[row].tolist(), probabilities, strict=True)
    )
    by_label = dict(given)
    true = labels.columns[labels.offsets[row] : labels.offsets[row + 1]].tolist()
    return WrongClip(
        str(mixed.ids[row]),
        surprise,
        precision,
        [(label, by_label.get(label)) for label in true],
        list(given[:SAID]),
    )
