"""A member that remembers, through the whole line: teacher, soft targets, student, bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from quantize import read_bundle
from records import SplitSpec, open_split, read_truth
from runs import Predictions
from tests.conftest import SMALL_MEANS, write_small_data
from tests.line import Line, write_schema

MEMBERS = (
    "~members.vlad",
    "~members.bag",
    "~members.sequence",
    "members.near.family=neighbors",
    "members.near.config={clips: 30, neighbors: 1, labels: 3}",
    "ensemble.method=flat",
    "quantize.threshold=100",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A perceptron and neighbors on means. Not to be changed."""
    folder = tmp_path_factory.mktemp("neighbors")
    data = write_small_data(folder / "data", SMALL_MEANS)
    schema = write_schema(folder / "means.yaml", SMALL_MEANS)
    line = Line(data, schema, folder / "outputs", MEMBERS)
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    return line


def receipt_of(line: Line) -> dict[str, Any]:
    return json.loads(line.receipt.read_text())


def test_it_is_packed_and_its_bytes_are_counted(finished: Line) -> None:
    receipt = receipt_of(finished)
    assert receipt["bytes"] == finished.bundle.stat().st_size
    assert {member["family"] for member in receipt["members"]} == {"perceptron", "neighbors"}
    (near,) = (m for m in read_bundle(finished.bundle).members if m.family == "neighbors")
    assert near.config["clips"] == len(near.state.plain["memory.labels"]) == 30


def test_every_number_of_bits_was_measured(finished: Line) -> None:
    measured = json.loads((finished.run / "quantized" / "near" / "DONE").read_text())
    recipes = measured["summary"]["recipes"]
    assert list(recipes) == ["uniform8", "quantile1", "quantile2", "quantile4"]
    sizes = [recipes[name]["bytes"] for name in ("quantile1", "quantile2", "quantile4", "uniform8")]
    assert sizes == sorted(set(sizes))


def test_no_clip_of_the_training_split_sees_itself(finished: Line) -> None:
    """Its nearest neighbor, which alone has a vote, would have exactly its labels."""
    remembered = json.loads((finished.run / "teachers" / "near" / "remembered.json").read_text())
    assert len(set(remembered)) == 30
    task = finished.run / "training-predictions" / "teachers-near"
    predictions = Predictions.load(task / "predictions-train.safetensors")
    split = open_split(finished.data, "train", SplitSpec("train-*"), SMALL_MEANS, cache=None)
    truth = read_truth(split)
    assert list(predictions.ids) == list(truth.ids)
    own = 0
    for row in [row for row, name in enumerate(truth.ids) if name in remembered]:
        labels = set(truth.columns[truth.offsets[row] : truth.offsets[row + 1]].tolist())
        best = set(predictions.labels[row][predictions.log_odds[row] > 0].tolist())
        own += best == labels
    assert own < 30


def test_a_student_remembers_soft_targets_beside_labels(finished: Line) -> None:
    teacher, student = (
        load_file(finished.run / kind / "near" / "weights.safetensors")["memory.shares"]
        for kind in ("teachers", "students")
    )
    assert set(teacher.flatten().tolist()) == {0, 255}
    assert len(set(student.flatten().tolist())) > 3


def test_remembered_again_it_has_the_same_bytes(finished: Line, tmp_path: Path) -> None:
    again = finished.copy(tmp_path, "teachers/near")
    assert again.call("stage=teachers").status == 0
    place = Path("teachers", "near", "weights.safetensors")
    assert (again.run / place).read_bytes() == (finished.run / place).read_bytes()
