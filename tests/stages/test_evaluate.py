"""What `stage=evaluate` says of the clips: which files, how many, and how many the bundle saw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.codec import to_plain
from quantize.bundle.content import read_bundle, write_bundle
from quantize.errors import BundleError
from stages.packing.receipt import seen_by
from tests.line import Line, Outcome, call, means_line


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """One perceptron. Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


def evaluate(bundle: Path, data: Path, folder: Path, *more: str) -> Outcome:
    """Without an experiment."""
    outputs = f"outputs={folder / 'outputs'}"
    outcome = call("stage=evaluate", f"bundle={bundle}", f"data.root={data}", outputs, *more)
    assert outcome.status == 0, outcome.err
    return outcome


def figures(outcome: Outcome) -> dict[str, str]:
    return {name: value for name, value, *_ in map(str.split, outcome.out.splitlines())}


def test_training_data_is_not_scored_in_silence(finished: Line, tmp_path: Path) -> None:
    """Train, search, report and test have 160, 60, 60 and 20 clips."""
    outcome = evaluate(finished.bundle, finished.data, tmp_path)
    found = figures(outcome)
    assert (found["videos"], found["seen"]) == ("300", "220")
    contents, warning = outcome.err.splitlines()
    assert "300 clips in 9 files: 'report-" in contents and "6 more" in contents
    assert warning.startswith("warning: 220 of these 300 clips")


def test_unseen_clips_give_no_warning(finished: Line, tmp_path: Path) -> None:
    outcomes = [
        evaluate(finished.bundle, finished.data, tmp_path, "data.report.shards=report-*"),
        finished.call("stage=evaluate"),
    ]
    for outcome in outcomes:
        assert outcome.status == 0
        assert (figures(outcome)["videos"], figures(outcome)["seen"]) == ("60", "0")
        (contents,) = outcome.err.splitlines()
        assert "60 clips in 2 files" in contents
    gap = json.loads(finished.receipt.read_text())["gap"]
    assert float(figures(outcomes[0])["gap"]) == pytest.approx(gap, abs=1e-5)


def test_in_another_precision_it_finds_nearly_the_same(finished: Line, tmp_path: Path) -> None:
    report = "data.report.shards=report-*"
    gaps = [
        float(figures(evaluate(finished.bundle, finished.data, tmp_path, report, *more))["gap"])
        for more in ([], ["precision=bfloat16"])
    ]
    assert gaps[1] == pytest.approx(gaps[0], abs=0.02)
    # What was written in one is no submission of the other.
    arguments = ["stage=predict", f"bundle={finished.bundle}", f"data.root={finished.data}"]
    arguments += [report, f"outputs={tmp_path}", f"output={tmp_path / 'x.csv'}"]
    written = []
    for more in ([], ["precision=bfloat16"], ["precision=float32"]):
        assert call(*arguments, *more).status == 0
        written.append((tmp_path / "x.csv").read_bytes())
    assert written[0] == written[2] != written[1]


def test_clips_it_was_chosen_on_are_seen_too(finished: Line) -> None:
    outcome = finished.call("stage=evaluate", "split=search")
    assert figures(outcome)["seen"] == "60"
    assert "warning: 60 of these 60 clips" in outcome.err


def test_a_bundle_that_does_not_say_is_named(finished: Line, tmp_path: Path) -> None:
    """As those of earlier versions do not."""
    content = read_bundle(finished.bundle)
    receipt = {name: value for name, value in content.receipt.items() if name != "seen"}
    path = tmp_path / "earlier.safetensors"
    write_bundle(path, content.schema, content.members, receipt, content.mix)
    outcome = evaluate(path, finished.data, tmp_path, "data.report.shards=report-*")
    assert "seen" not in figures(outcome)
    assert f"{path} does not say which clips it has seen" in outcome.err


def test_what_a_bundle_says_costs_few_bytes_and_is_the_receipts(finished: Line) -> None:
    receipt = json.loads(finished.receipt.read_text())
    seen = seen_by(read_bundle(finished.bundle).receipt)
    assert receipt["seen"] == to_plain(seen)
    # Four shards to train on, two to search on.
    assert [len(part.shards) for part in seen] == [4 * 8, 2 * 8]


@pytest.mark.parametrize("seen", [5, [{"shards": "A"}], [{"shards": ""}] * 4, [{"from": 1}]])
def test_what_no_bundle_says_is_refused(seen: object) -> None:
    with pytest.raises(BundleError, match=r"^receipt\.seen"):
        seen_by({"seen": seen, "gap": 1})
