"""What stage `report` would find of a large run: made up, but of its shape."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.generated import generate_scores
from quantize.selection.comparison import Comparison, Point
from records import Schema, Stream
from runs import Predictions, PredictionsWriter
from runs.marker import Marker
from stages.config import Config
from stages.findings.evidence import weigh
from stages.findings.models import Curves, Model
from stages.members import MemberConfig
from stages.packing.receipt import MemberReceipt, Receipt
from stages.report import Findings
from stages.summaries import TrainingSummary

STORED_LABELS, STEPS, POINTS = 100, 3000, 30


def generate_findings(members: int, clips: int, num_labels: int, prefix: str = "") -> Findings:
    """Findings of a packed run; names of labels, clips and members begin with `prefix`."""
    dense, labels = generate_scores(members, clips, num_labels)
    names = [f"{prefix}member {number}" for number in range(members)]
    ids = [f"{prefix}clip {number}" for number in range(clips)]
    predictions = {name: [_stored(ids, own)] for name, own in zip(names, dense, strict=True)}
    weights = dict.fromkeys(names, 1 / members)
    generator = np.random.default_rng(0)
    models = {name: _model(Path("outputs/generated", name), generator) for name in names}
    schema = Schema(
        "generated",
        "video",
        (Stream("mean_rgb", 1024, "float32"),),
        num_labels,
        label_names=tuple(f"{prefix}label {number}" for number in range(num_labels)),
    )
    points = tuple(
        Point(2**20 * (number + 1), 0.7 + 0.1 * number / POINTS, 0.01) for number in range(POINTS)
    )
    compared = Comparison(points, points[1:], points[1:])
    packed = tuple(
        MemberReceipt(name, "perceptron", "mixed1", 10**6, weight, 0.7, 0.7)
        for name, weight in weights.items()
    )
    return Findings(
        Path("outputs/generated"),
        Config(members=dict.fromkeys(names, MemberConfig("perceptron"))),
        schema,
        {},
        models,
        models,
        receipt=Receipt(members=packed, hashes={}, bytes=10**8, budget_bytes=2**30),
        packed={own.name: own.gap for own in packed},
        comparisons={"search": compared, "report": compared},
        evidence=weigh("the bundle", predictions, weights, labels, "probability"),
        speeds=dict.fromkeys(names, 1000.0),
        machine={"processor": prefix},
        notices=[f"{prefix}notice"],
    )


def _stored(ids: list[str], log_odds: np.ndarray) -> Predictions:
    writer = PredictionsWriter(log_odds.shape[1], STORED_LABELS)
    writer.append(ids, torch.from_numpy(log_odds))
    return writer.finish()


def _model(folder: Path, generator: np.random.Generator) -> Model:
    steps = list(range(20, STEPS, 20))
    loss = (10 / np.sqrt(steps) + 0.01 * generator.random(len(steps))).tolist()
    curves = Curves(steps, loss, [1000.0] * len(steps), steps[::20], loss[::20])
    summary = TrainingSummary(
        family="perceptron",
        parameters=10**6,
        bytes=10**6,
        clips_per_second=1000.0,
        training_seconds=100.0,
        peak_memory=10**9,
        kept="main",
        gap_search_main=0.7,
        gap_report_main=0.7,
    )
    return Model(folder, curves, Marker("", {}, {}), summary)
