"""A member that remembers, through the whole line: teacher, soft targets, student, bundle."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from safetensors.torch import load_file

from families.layers.hosts import all_scores
from quantize import Bundle, read_bundle
from records import (
    SplitSpec,
    encode_clip,
    iterate_batches,
    open_split,
    read_truth,
    write_shards,
)
from runs import Predictions
from stages.jobs import predictions_name
from tests.conftest import SMALL_MEANS, make_clips
from tests.line import Line, finished_means_line

MEMBERS = (
    "~members.vlad",
    "~members.bag",
    "~members.sequence",
    "members.near.family=neighbors",
    "members.near.config={clips: 30, neighbors: 1, labels: 3}",
    "members.recall.family=neighbors",
    "members.recall.config={of: plain, clips: 30, neighbors: 5, labels: 3}",
    "ensemble.method=flat",
    "quantize.threshold=100",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A perceptron, neighbors on means, neighbors on its hidden layer. Not to be changed."""
    return finished_means_line(tmp_path_factory.mktemp("neighbors"), MEMBERS)


def receipt_of(line: Line) -> dict[str, Any]:
    return json.loads(line.receipt.read_text())


def test_it_is_packed_and_its_bytes_are_counted(finished: Line) -> None:
    receipt = receipt_of(finished)
    assert receipt["bytes"] == finished.bundle.stat().st_size
    assert {member["family"] for member in receipt["members"]} == {"perceptron", "neighbors"}
    members = {member.name: member for member in read_bundle(finished.bundle).members}
    assert set(members) == {"plain", "near", "recall"}
    for name, width in (("near", 0), ("recall", 16)):
        member = members[name]
        assert member.config["clips"] == len(member.state.plain["memory.labels"]) == 30
        assert member.config["width"] == width


def test_every_number_of_bits_was_measured(finished: Line) -> None:
    measured = json.loads((finished.run / "quantized" / "near" / "DONE").read_text())
    summary, names = measured["summary"], ["uniform8", "quantile1", "quantile2", "quantile4"]
    assert list(summary["scored"]) == list(summary["bytes"]) == names
    sizes = [summary["bytes"][name] for name in (*names[1:], names[0])]
    assert sizes == sorted(set(sizes))


def test_no_clip_of_the_training_split_sees_itself(finished: Line) -> None:
    """Its nearest neighbor, which alone has a vote, would have exactly its labels."""
    remembered = json.loads((finished.run / "teachers" / "near" / "remembered.json").read_text())
    assert len(set(remembered)) == 30
    task = finished.run / "training-predictions" / "teachers-near"
    predictions = Predictions.load(task / predictions_name("train"))
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


def test_students_stand_on_students_and_teachers_on_teachers(finished: Line) -> None:
    for kind in ("teachers", "students", "quantized"):
        job = json.loads((finished.run / kind / "recall" / "job.json").read_text())
        folder = Path(job["setting"]["host"]["trained"]["folder"])
        expected = finished.run / ("students" if kind == "quantized" else kind) / "plain"
        assert folder == expected.resolve()


def test_the_bundle_scores_what_its_members_score(finished: Line) -> None:
    receipt = receipt_of(finished)
    assert receipt["gap"] == pytest.approx(receipt["gap_float"], abs=0.05)
    loaded = Bundle.load(finished.bundle)
    split = open_split(finished.data, "report", SplitSpec("report-*"), SMALL_MEANS, cache=None)
    measured = Predictions.load(finished.run / "quantized" / "recall" / predictions_name("report"))
    (batch,) = iterate_batches(split, len(split))
    modules = {member.name: member.module for member in loaded.members}
    scores = dict(zip(modules, all_scores(modules, batch.features, None), strict=True))
    best = np.take_along_axis(scores["recall"].numpy(), measured.labels.astype(np.int64), axis=1)
    # The host is at another precision here.
    assert np.median(np.abs(best - measured.log_odds)) < 0.05


def test_the_onnx_file_scores_as_the_bundle_does(finished: Line, tmp_path: Path) -> None:
    output = tmp_path / "bundle.onnx"
    outcome = finished.call("stage=export", f"output={output}")
    assert outcome.status == 0, outcome.err
    split = open_split(finished.data, "report", SplitSpec("report-*"), SMALL_MEANS, cache=None)
    (batch,) = iterate_batches(split, len(split))
    session = onnxruntime.InferenceSession(output)
    feeds = {name: x.numpy() for name, x in batch.features.items()}
    wanted = Bundle.load(finished.bundle).predict(batch)
    np.testing.assert_allclose(session.run(None, feeds)[0], wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("members.recall.config={of: nobody}", "members.recall.config.of: no member 'nobody'"),
        ("members.recall.config={of: near}", "Neighbors has 0 heads"),
        ("members.near.config={of: recall}", "stands on another itself"),
        (
            "distill.students={plain: {member: plain, teacher: all, level: 2}}",
            "distill.students.recall: needs a student of member 'plain'",
        ),
    ],
)
def test_a_host_that_is_none_is_refused(
    finished: Line, tmp_path: Path, change: str, message: str
) -> None:
    assert message in finished.fresh(tmp_path).call("stage=plan", change).refusal()


def test_clips_without_labels_are_scored_and_not_remembered(finished: Line, tmp_path: Path) -> None:
    unlabeled = dataclasses.replace(SMALL_MEANS, labels_key="")
    records = [encode_clip(clip, unlabeled) for clip in make_clips(SMALL_MEANS, 20, 7)]
    write_shards(tmp_path / "further", "further", records, 20)
    line = finished.copy(tmp_path)
    changes = f"distill.unlabeled.root={tmp_path / 'further'}", "distill.unlabeled.shards=further-*"
    outcome = line.call("stage=all", *changes)
    assert outcome.status == 0, outcome.err
    folder = line.run / "unlabeled-predictions" / "teachers-recall"
    job = json.loads((folder / "job.json").read_text())
    assert Path(job["setting"]["host"]["trained"]["folder"]).name == "plain"
    assert len(Predictions.load(folder / predictions_name("unlabeled")).ids) == 20
    same = {}
    for name in ("plain", "near", "recall"):
        place = Path("students", name, "weights.safetensors")
        same[name] = (line.run / place).read_bytes() == (finished.run / place).read_bytes()
    # The last one stands on the first.
    assert same == {"plain": False, "near": True, "recall": False}
    assert {member["name"] for member in receipt_of(line)["members"]} == same.keys()


def test_remembered_again_it_has_the_same_bytes(finished: Line, tmp_path: Path) -> None:
    again = finished.copy(tmp_path, "teachers/near")
    assert again.call("stage=teachers").status == 0
    place = Path("teachers", "near", "weights.safetensors")
    assert (again.run / place).read_bytes() == (finished.run / place).read_bytes()


def test_what_stands_on_another_is_timed_by_its_own_part(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    outcome = line.call("stage=pack", "limit.milliseconds=1000", "limit.batch=64")
    assert outcome.status == 0, outcome.err
    (found,) = receipt_of(line)["latency"]
    measured = {
        name: json.loads((line.run / "latency" / name / "DONE").read_text())["summary"]
        for name in ("plain", "near", "recall")
    }
    assert found["batch"] == 64
    assert found["members"] == {name: own["batch 64"] / 10**6 for name, own in measured.items()}
    # The host is in the sum once, though two members need its layer.
    assert found["milliseconds"] == sum(own["batch 64"] for own in measured.values()) / 10**6
