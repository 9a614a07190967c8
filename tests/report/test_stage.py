"""Stage `report`: of a whole run, and of one that was stopped; labels whose names are markup."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from metrics import Labels, gap
from quantize import Bundle
from records import SplitSpec, iterate_batches, open_split
from runs import Predictions
from tests.conftest import SMALL_FRAMES, make_clips
from tests.line import Line, frames_line
from tests.report.browser import TALL, Browser
from training.log import METRICS_NAME

HOSTILE_LABEL = "</script><script>window.hacked=1</script>"


def page_of(line: Line) -> Path:
    return line.run / "report.html"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A run of two members on clips whose labels have names that are markup; not to be changed."""
    line = frames_line(tmp_path_factory.getbasetemp()).copy(tmp_path_factory.mktemp("report"))
    data = line.data.parent / "hostile"
    if not data.exists():
        shutil.copytree(line.data, data)
        with (data / "names.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label_id", "label_name"])
            names = [HOSTILE_LABEL, "<img src=x onerror=window.hacked=2>", "\u2028 <!-- & \u202e"]
            names += [f"label {number}" for number in range(len(names), 30)]
            writer.writerows(enumerate(names))
    named = Line(data, line.schema, line.outputs, (*line.changes, "data.vocabulary=names.csv"))
    # What came before learns names, and nothing else.
    outcome = named.call("stage=all")
    assert outcome.status == 0, outcome.err
    assert f"report      {page_of(named)}" in outcome.out
    return named


def test_page_of_a_run_in_a_browser(browser: Browser, finished: Line) -> None:
    browser.open(page_of(finished), height=TALL)
    assert browser.errors() == []
    assert browser.run("return window.hacked") is None
    assert browser.requested() == [] and not browser.wider_than_window()
    assert browser.texts(".notice") == []
    receipt = json.loads(finished.receipt.read_text())
    facts = " ".join(browser.texts(".facts"))
    assert f"{receipt['gap']:.5f} ± {receipt['gap_error']:.5f}" in facts
    assert f"{receipt['bytes']:,}" in facts
    packed = json.loads((finished.run / "report/packed/packed.json").read_text())
    assert packed.keys() == {own["name"] for own in receipt["members"]}
    browser.sort("Leaderboard", "GAP packed")
    names, gaps = (browser.column("Leaderboard", title) for title in ("member", "GAP packed"))
    assert gaps == [f"{packed[name]:.5f}" if name in packed else "\u2013" for name in names]
    shown = [gap for gap in gaps if gap != "\u2013"]
    assert shown == sorted(shown, reverse=True) == gaps[: len(shown)]
    browser.search("Scores by label", "<script>window")
    assert HOSTILE_LABEL in browser.column("Scores by label", "label")
    browser.search("Scores by label", "label 17")
    browser.sort("Scores by label", "label")
    assert "label 17" in browser.column("Scores by label", "label")
    assert "label 0" not in browser.column("Scores by label", "label")
    browser.search("Clips that it gets most wrong", "clip2-")
    assert len(browser.column("Clips that it gets most wrong", "clip")) == 25
    assert browser.run("return document.querySelectorAll('.plot svg.main-svg').length") > 10
    assert browser.errors() == [] and browser.run("return window.hacked") is None


def truth_of_report() -> Labels:
    clips = make_clips(SMALL_FRAMES, 60, 2)
    rows = np.repeat(np.arange(60), [len(clip.labels) for clip in clips])
    return Labels.from_pairs(rows, np.concatenate([clip.labels for clip in clips]), 60, 30)


def test_bundle_is_predicted_as_its_receipt_says(finished: Line) -> None:
    predicted = Predictions.load(finished.run / "report/bundle/predictions-report.safetensors")
    assert predicted.ids.tolist() == [clip.id for clip in make_clips(SMALL_FRAMES, 60, 2)]
    found = gap(truth_of_report(), predicted.labels, predicted.log_odds)
    assert found == pytest.approx(json.loads(finished.receipt.read_text())["gap"])


def test_packed_members_score_what_the_file_holds(finished: Line) -> None:
    """Each member of the bundle by itself, its weights as they are read from the file."""
    bundle = Bundle.load(finished.bundle)
    gaps = json.loads((finished.run / "report/packed/packed.json").read_text())
    assert gaps.keys() == {member.name for member in bundle.members}
    split = open_split(finished.data, "report", SplitSpec("report*"), bundle.schema, cache=None)
    (batch,) = (own.to("cpu") for own in iterate_batches(split, 64))
    for member in bundle.members:
        with torch.no_grad():
            scores = member.module(batch.features, batch.mask).numpy()
        assert gaps[member.name] == pytest.approx(gap(truth_of_report(), None, scores), abs=1e-6)


def test_curves_on_report_are_those_of_what_was_predicted(finished: Line) -> None:
    """Both curves computed anew from predictions of members as they are stored, by plain loops."""
    curves = {
        curve: json.loads((finished.run / folder / "solutions.json").read_text())
        for curve, folder in (("best", "curve"), ("uniform8", "uniform8"))
    }
    used = {own for found in curves.values() for s in found for own in s["choice"].items()}
    new = sorted(own for own in used if own[1] not in ("float32", "uniform8"))

    def probabilities(member: str, recipe: str) -> np.ndarray:
        folder = "students" if recipe == "float32" else "quantized"
        path = finished.run / folder / member / "predictions-report.safetensors"
        if (member, recipe) in new:
            number = new.index((member, recipe))
            path = finished.run / f"report/curve/predictions-report-{number}.safetensors"
        return 1 / (1 + np.exp(-Predictions.load(path).to_dense().astype(np.float64)))

    compared = json.loads((finished.run / "report/curve/comparison.json").read_text())
    for curve, solutions in curves.items():
        assert [own["bytes"] for own in compared[curve]] == [own["size"] for own in solutions]
        for solution, point in zip(solutions, compared[curve], strict=True):
            mixed = sum(
                solution["weights"][member] * probabilities(member, recipe)
                for member, recipe in solution["choice"].items()
            )
            found = gap(truth_of_report(), None, np.asarray(mixed))
            assert point["gap"] == pytest.approx(found, abs=1e-6)
            assert 0 < point["error"] < 0.1
    last = compared["best"][-1]["gap"] - compared["uniform8"][-1]["gap"]
    assert compared["gains"][-1]["gap"] == pytest.approx(last)


def test_second_page_measures_nothing_again_and_is_the_same(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    assert line.call("stage=report").status == 0
    done, first = line.done(), page_of(line).read_bytes()
    outcome = line.call("stage=report")
    assert outcome.status == 0 and outcome.out.strip() == str(page_of(line))
    assert line.done() == done and page_of(line).read_bytes() == first


def test_run_that_was_stopped_shows_what_there_is(
    browser: Browser, finished: Line, tmp_path: Path
) -> None:
    """First without a bundle and one student, then in the middle of the teachers."""
    line = finished.copy(tmp_path, "bundle", "students/vlad", "report")
    outcome = line.call("stage=report")
    assert outcome.status == 0, outcome.err
    browser.open(page_of(line))
    assert any("students/vlad is not done" in own for own in browser.texts(".notice"))
    assert set(browser.column("Leaderboard", "member")) == {"vlad", "plain"}
    students = dict(
        zip(
            browser.column("Leaderboard", "member"),
            browser.column("Leaderboard", "GAP student"),
            strict=True,
        )
    )
    assert students["vlad"] == "–" and students["plain"] != "–"
    assert "flat mean of 1 students" in browser.run("return document.body.innerText")
    (line.run / "teachers/vlad/DONE").unlink()
    metrics = line.run / "teachers/vlad" / METRICS_NAME
    shutil.rmtree(line.run / "students")
    # Killed while it wrote.
    metrics.write_text(metrics.read_text() + '{"step": 99, "lo')
    outcome = line.call("stage=report")
    assert outcome.status == 0, outcome.err
    browser.open(page_of(line))
    assert "1 of 2 done" in browser.run("return document.body.innerText")
    assert "Teachers: loss by step" in browser.texts("figcaption")
    assert browser.errors() == []


def test_evaluations_of_a_training_are_drawn(
    browser: Browser, finished: Line, tmp_path: Path
) -> None:
    line = finished.copy(tmp_path)
    path = line.run / "teachers/plain" / METRICS_NAME
    scored = {"step": 10, "epoch": 1, "search": {"gap": 0.25, "hit_at_1": 0.5, "perr": 0.5}}
    path.write_text(path.read_text() + json.dumps(scored) + "\n")
    assert line.call("stage=report").status == 0
    browser.open(page_of(line))
    assert "Teachers: GAP on search by step" in browser.texts("figcaption")
    assert browser.errors() == []


def test_data_that_is_gone_is_said(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    gone = Line(tmp_path / "nowhere", line.schema, line.outputs, line.changes)
    outcome = gone.call("stage=report", "data.vocabulary=null")
    assert outcome.status == 0, outcome.err
    assert "is no folder" in page_of(gone).read_text()


def test_bundle_of_other_students_is_left_out(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    path = line.run / "students/vlad/DONE"
    shutil.copy(line.run / "students/plain/DONE", path)
    outcome = line.call("stage=report")
    assert outcome.status == 0, outcome.err
    assert "packed from other students" in page_of(line).read_text()


def test_nothing_begun_is_refused(finished: Line, tmp_path: Path) -> None:
    assert "no training was begun" in finished.fresh(tmp_path).call("stage=report").refusal()
