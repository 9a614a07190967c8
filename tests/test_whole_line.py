"""`stage=all` on small data: the bundle, its receipt, what is redone and what is not."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import orchestrate
from distill import SoftTargets, mix_teachers
from distill.soft_targets import SOFT_TARGETS_NAME
from quantize import Bundle
from records import SplitSpec, open_split, read_truth
from runs import Predictions
from stages.config import Config
from stages.evaluate import evaluate
from stages.workspace import Workspace
from tests.conftest import SMALL_FRAMES, make_clips
from tests.line import Line, call, frames_line, means_line

BUDGET = 2_000_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Two members on frames. Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def receipt(finished: Line) -> dict[str, Any]:
    return read_receipt(finished)


def read_receipt(line: Line) -> dict[str, Any]:
    return json.loads(line.receipt.read_text())


def check_file(line: Line, budget: int) -> dict[str, Any]:
    """The receipt, whose account of the file is shown to be true."""
    receipt = read_receipt(line)
    content = line.bundle.read_bytes()
    assert receipt["bytes"] == len(content) <= budget == receipt["budget_bytes"]
    assert receipt["sha256"] == hashlib.sha256(content).hexdigest()
    return receipt


def figures(outcome_out: str) -> dict[str, float]:
    """What `stage=evaluate` printed."""
    return {name: float(value) for name, value, *_ in map(str.split, outcome_out.splitlines())}


def test_bundle_keeps_the_budget_and_the_receipt_tells_the_truth(finished: Line) -> None:
    check_file(finished, BUDGET)


def test_receipt_has_every_key(receipt: dict[str, Any]) -> None:
    for key in ("gap", "map_at_10", "flat_gap", "gap_float"):
        assert 0 < receipt[key] <= 1
    for score in ("gap", "map_at_10", "map", "uniform8_gain", "flat_gain"):
        assert 0 < receipt[f"{score}_error"] < 0.2
    assert receipt["members"]
    for member in receipt["members"]:
        assert {"name", "family", "bytes", "weight", "gap", "gap_float"} <= set(member)
    packed = {member["name"]: member["family"] for member in receipt["members"]}
    assert packed.items() <= {"vlad": "netvlad", "plain": "perceptron"}.items()
    assert sum(member["weight"] for member in receipt["members"]) == pytest.approx(1)
    assert sum(member["bytes"] for member in receipt["members"]) < receipt["bytes"]
    assert set(receipt["hashes"]["data"]) == {"train", "search", "report"}
    assert set(receipt["hashes"]["students"]) == set(packed)


def test_eight_bits_move_next_to_nothing(receipt: dict[str, Any]) -> None:
    assert receipt["gap"] == pytest.approx(receipt["gap_float"], abs=1e-3)


def test_teachers_are_shown_with_scores_and_cost(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    outcome = line.call("stage=teachers")
    assert max(map(len, outcome.out.splitlines())) <= 80
    rows = {row["member"]: row for row in csv.DictReader((line.run / "teachers.csv").open())}
    assert list(rows) == ["vlad", "plain"]
    for name, row in rows.items():
        summary = json.loads((line.run / "teachers" / name / "DONE").read_text())["summary"]
        assert float(row["GAP"]) == summary[f"gap_report_{summary['kept']}"]
        assert 0 < float(row["MAP@10"]) < 1 and 0 < float(row["MAP"]) < 1
        assert 0 < float(row["GAP error"]) < 0.2 and 0 < float(row["MAP error"]) < 0.2
        assert float(row["clips/s"]) > 0 and float(row["memory"]) > 1e7
        assert float(row["CPU"]) > 0 and row["GPU"] == "" and float(row["loss"]) > 0
        assert (float(row["learning rate"]), row["batch"], row["epochs"]) == (5e-3, "8", "3.0")
        assert row["steps"] == row["planned"] == "80"
        assert f"{name} " in outcome.out and f"{float(row['GAP']):.4f}" in outcome.out


def test_short_clips_are_left_out_of_training(finished: Line, tmp_path: Path) -> None:
    line = finished.fresh(tmp_path)
    outcome = line.call("stage=teachers", "~members.vlad", "train.min_frames=6", "train.epochs=1")
    assert outcome.status == 0, outcome.err
    long = sum(len(clip.features["rgb"]) >= 6 for clip in make_clips(SMALL_FRAMES, 160, 0))
    steps = [json.loads(row)["step"] for row in (line.run / "teachers/plain/metrics.jsonl").open()]
    # One epoch, and one in which the weights are averaged.
    assert steps[-1] == 2 * (long // 8) < 40


def test_plan_names_every_member(finished: Line) -> None:
    plan = json.loads((finished.run / "plan.json").read_text())
    assert [member["name"] for member in plan["members"]] == ["vlad", "plain"]
    for member in plan["members"]:
        assert set(member) >= {"name", "family", "parameters", "bytes"}
    assert plan["bytes"] == sum(member["bytes"] for member in plan["members"])
    assert plan["budget_bytes"] == BUDGET


def test_evaluate_gives_the_receipts_gap(finished: Line, receipt: dict[str, Any]) -> None:
    overrides = finished.overrides("stage=evaluate")
    main = {"HYDRA_MAIN_MODULE": "__main__"}
    with patch.object(sys, "argv", ["orchestrate.py", *overrides]), patch.dict(os.environ, main):
        configs: list[Config] = []
        orchestrate.parse_command_line(configs.append)
    scores = evaluate(Workspace(configs[0]))
    assert scores["gap"] == pytest.approx(receipt["gap"], abs=1e-6)
    assert scores["map_at_10"] == pytest.approx(receipt["map_at_10"], abs=1e-6)
    assert scores["gap_error"] == pytest.approx(receipt["gap_error"], abs=1e-6)


def test_bundle_alone_is_enough(finished: Line, receipt: dict[str, Any], tmp_path: Path) -> None:
    """Neither experiment nor schema is given, and the file lies somewhere else."""
    bundle = tmp_path / "moved.safetensors"
    bundle.write_bytes(finished.bundle.read_bytes())
    outcome = call(
        "stage=evaluate",
        f"bundle={bundle}",
        f"data.root={finished.data}",
        "data.report.shards=report-*.tfrecord",
        f"outputs={tmp_path / 'outputs'}",
    )
    assert outcome.status == 0, outcome.err
    printed = figures(outcome.out)
    assert printed["gap"] == pytest.approx(receipt["gap"], abs=1e-5)
    assert printed["videos"] == 60


@pytest.mark.parametrize("style", ["kaggle", "top10"])
def test_submission_is_best_first(finished: Line, tmp_path: Path, style: str) -> None:
    output = tmp_path / "submission.csv"
    outcome = finished.call("stage=predict", f"format={style}", f"output={output}")
    assert outcome.status == 0, outcome.err
    assert str(output) in outcome.out
    header, *rows = csv.reader(output.open(newline=""))
    split = open_split(
        finished.data, "test", SplitSpec("test-*.tfrecord"), SMALL_FRAMES, cache=None
    )
    assert [row[0] for row in rows] == list(read_truth(split).ids)
    scores = predicted(finished)
    if style == "top10":
        assert header == ["VideoId", "Labels"]
        for (_, text), dense in zip(rows, scores, strict=True):
            labels = [int(label) for label in text.split(" ")]
            assert labels == np.argsort(-dense, kind="stable")[:10].tolist()
        return
    assert header == ["VideoId", "LabelConfidencePairs"]
    for (_, text), dense in zip(rows, scores, strict=True):
        parts = text.split(" ")
        labels, chances = list(map(int, parts[::2])), list(map(float, parts[1::2]))
        assert len(labels) == 20 and len(set(labels)) == 20
        assert chances == sorted(chances, reverse=True)
        np.testing.assert_allclose(chances, 1 / (1 + np.exp(-dense[labels])), rtol=1e-5)
        assert min(dense[labels]) >= max(np.delete(dense, labels))


def predicted(line: Line) -> np.ndarray:
    """The bundle's log-odds on the test split, clip by clip: no padding, every frame."""
    from records import iterate_batches

    bundle = Bundle.load(line.bundle)
    split = open_split(line.data, "test", SplitSpec("test-*.tfrecord"), SMALL_FRAMES, cache=None)
    return np.concatenate(
        [bundle.predict(batch.to(bundle.device)).numpy() for batch in iterate_batches(split, 1)]
    ).astype(np.float64)


def test_stage_all_wrote_the_submission(finished: Line) -> None:
    header, *rows = csv.reader((finished.run / "submission-test.csv").open(newline=""))
    assert header == ["VideoId", "LabelConfidencePairs"] and len(rows) == 20


def test_second_call_redoes_nothing(finished: Line, tmp_path: Path) -> None:
    """In a copy: a run may be moved."""
    line = finished.copy(tmp_path)
    before, content = line.done(), line.bundle.read_bytes()
    assert len(before) >= 10
    outcome = line.call("stage=all")
    assert outcome.status == 0, outcome.err
    assert "started" not in outcome.err
    assert line.done() == before
    assert line.bundle.read_bytes() == content


def test_finished_run_makes_no_file_again(finished: Line, tmp_path: Path) -> None:
    """Neither the submission, which takes longest, nor the picture; both once they are others."""
    line = finished.copy(tmp_path)
    files = [line.run / "submission-test.csv", line.run / "curve.png"]
    assert line.call("stage=all").status == 0
    before, times = [f.read_bytes() for f in files], [f.stat().st_mtime_ns for f in files]
    assert line.call("stage=all").status == 0
    assert [f.stat().st_mtime_ns for f in files] == times
    files[0].write_text("another")
    files[1].unlink()
    assert line.call("stage=all").status == 0
    assert [f.read_bytes() for f in files] == before
    assert line.call("stage=all", "format=top10").status == 0
    assert files[0].read_text().startswith("VideoId,Labels\n")


def test_three_commands_make_the_bundle_of_all(finished: Line, tmp_path: Path) -> None:
    line = finished.fresh(tmp_path)
    for stage, early, missing in (
        ("teachers", "distill", "teachers/vlad"),
        ("distill", "pack", "students/vlad"),
        ("pack", "predict", "bundle.safetensors"),
    ):
        refusal = line.call(f"stage={early}").refusal()
        assert missing in refusal and f"run stage={stage} first" in refusal
        outcome = line.call(f"stage={stage}")
        assert outcome.status == 0, outcome.err
    assert line.bundle.read_bytes() == finished.bundle.read_bytes()
    assert line.receipt.read_bytes() == finished.receipt.read_bytes()
    # `all` ends with the page of the run.
    assert line.call("stage=report").status == 0
    assert line.done().keys() == finished.done().keys()


def test_stages_one_by_one_find_everything_done(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    before = line.done()
    for stage in ("plan", "teachers", "ensemble", "distill", "pack"):
        outcome = line.call(f"stage={stage}")
        assert outcome.status == 0, outcome.err
        assert "started" not in outcome.err
    assert line.done() == before


def test_another_budget_packs_again_and_trains_nothing(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    before = line.done()
    outcome = line.call("stage=all", "budget=10kB")
    assert outcome.status == 0, outcome.err
    receipt = check_file(line, 10_000)
    assert [member["name"] for member in receipt["members"]] == ["plain"]
    (left_out,) = (row.split() for row in outcome.out.splitlines() if row.startswith("vlad"))
    assert left_out[-2:] == ["-", "out"]
    after = line.done()
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"selection", "bundle", "report/bundle", "report/packed"}


def test_budget_that_nothing_fits_leaves_the_older_bundle(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    content, receipt = line.bundle.read_bytes(), line.receipt.read_bytes()
    # Less than the tensors, then enough for the tensors of one but not for its file.
    for budget in (1_000, 3_500):
        refusal = line.call("stage=pack", f"budget={budget}").refusal()
        assert "vlad" in refusal and "plain" in refusal and "budget" in refusal
        assert line.bundle.read_bytes() == content
        assert line.receipt.read_bytes() == receipt


def test_changed_learning_rate_trains_again_what_depends_on_it(
    finished: Line, tmp_path: Path
) -> None:
    line = finished.copy(tmp_path)
    refusal = line.call("stage=ensemble", "+members.plain.train.learning_rate=0.01").refusal()
    assert "teachers/plain" in refusal and "stage=teachers" in refusal
    assert line.done().keys() == finished.done().keys()


def test_second_level(finished: Line, tmp_path: Path) -> None:
    """A student of soft targets, and a student of that student."""
    line = finished.copy(tmp_path)
    before = line.done()
    students = "distill.students={vlad: null, late: {member: plain, level: 2}}"
    outcome = line.call("stage=all", students)
    assert outcome.status == 0, outcome.err
    receipt = check_file(line, BUDGET)
    packed = {m["name"] for m in receipt["members"]} | {m["name"] for m in receipt["left_out"]}
    assert packed == {"plain", "late"}
    after = line.done()
    assert {"soft/perceptron-2", "students/late"} <= set(after)
    for task in ("teachers/plain", "ensemble", "students/plain"):
        assert after[task] == before[task]


def test_soft_targets_mix_what_the_ensemble_mixes(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    changes = ("ensemble.mix=log_odds", "distill.teacher=all", "distill.students={vlad: null}")
    for stage in ("ensemble", "distill"):
        outcome = line.call(f"stage={stage}", *changes)
        assert outcome.status == 0, outcome.err
    weights = json.loads((line.run / "ensemble" / "ensemble.json").read_text())["weights"]
    assert all(weight > 0 for weight in weights.values())
    said = line.run / "training-predictions"
    teachers = [
        Predictions.load(said / f"teachers-{name}" / "predictions-train.safetensors")
        for name in weights
    ]
    targets = SoftTargets.load(line.run / "soft" / "all" / SOFT_TARGETS_NAME, 30)
    in_log_odds, in_probability = (
        mix_teachers(teachers, list(weights.values()), 20, mix).probabilities
        for mix in ("log_odds", "probability")
    )
    assert np.array_equal(targets.probabilities, in_log_odds)
    assert not np.allclose(targets.probabilities, in_probability, rtol=1e-3)


def test_video_level_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    line = means_line(tmp_path_factory.getbasetemp())
    receipt = check_file(line, BUDGET)
    assert [member["family"] for member in receipt["members"]] == ["perceptron"]
    outcome = line.call("stage=evaluate")
    assert figures(outcome.out)["gap"] == pytest.approx(receipt["gap"], abs=1e-6)


def test_table_shows_every_member_and_the_paths(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    out = line.call("stage=all").out
    for name, family in (("vlad", "netvlad"), ("plain", "perceptron")):
        assert any(name in row and family in row for row in out.splitlines())
    for path in (line.bundle, line.receipt, line.run / "submission-test.csv"):
        assert str(path) in out
    assert "flat" in out and "2,000,000" in out
    assert f"GAP on report: {read_receipt(line)['gap']:.5f} +- 0.0" in out
    shown = out.splitlines()
    assert max(len(row) for row in shown if str(tmp_path) not in row) <= 80
