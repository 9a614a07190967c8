"""Other programs' predictions through stages `ensemble`, `pack` and `predict`."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from quantize import Bundle
from records import SplitSpec, iterate_batches, open_split
from tests.conftest import SMALL_MEANS, make_clips
from tests.line import Line, call, means_line

V = SMALL_MEANS.num_labels
COUNTS = {"search": (60, 1), "report": (60, 2), "test": (20, 3)}
OF_SPLIT = {"train": (160, 0), **COUNTS}


def theirs(split: str) -> dict[str, np.ndarray]:
    """What another program says: all labels of every clip, half right."""
    found = {}
    generator = np.random.default_rng(OF_SPLIT[split][1])
    for clip in make_clips(SMALL_MEANS, *OF_SPLIT[split]):
        log_odds = generator.normal(-4, 1, V)
        log_odds[clip.labels] += generator.normal(3, 2, len(clip.labels))
        found[clip.id] = 1 / (1 + np.exp(-log_odds))
    return found


def write_csv(path: Path, table: dict[str, np.ndarray], best: int = V) -> Path:
    """As Kaggle takes it."""
    lines = ["VideoId,LabelConfidencePairs"]
    for clip, own in table.items():
        order = np.argsort(-own)[:best]
        lines.append(f"{clip}," + " ".join(f"{label} {own[label]}" for label in order.tolist()))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def line(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A run of one perceptron that has been through."""
    return means_line(tmp_path_factory.getbasetemp()).copy(tmp_path)


@pytest.fixture
def external(tmp_path: Path) -> str:
    """The override that names them."""
    files = {split: write_csv(tmp_path / f"{split}.csv", theirs(split)) for split in COUNTS}
    return "external.theirs={" + ",".join(f"{n}: {path}" for n, path in files.items()) + "}"


def rows_of(path: Path) -> dict[str, dict[int, float]]:
    """A submission in Kaggle's format."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    parts = {clip: pairs.split() for clip, pairs in rows}
    return {
        clip: dict(zip(map(int, own[::2]), map(float, own[1::2]), strict=True))
        for clip, own in parts.items()
    }


def bundle_says(line: Line, split: str) -> dict[str, np.ndarray]:
    """The bundle's probabilities."""
    bundle = Bundle.load(line.bundle)
    shards = open_split(line.data, split, SplitSpec(f"{split}-*"), SMALL_MEANS, cache=None)
    return {
        clip: row
        for batch in iterate_batches(shards, 32)
        for clip, row in zip(
            batch.ids, bundle.predict(batch).double().sigmoid().numpy(), strict=True
        )
    }


def test_the_submission_is_the_weighted_mean(line: Line, external: str) -> None:
    before = line.bundle.read_bytes()
    outcome = line.call("stage=predict", external)
    assert outcome.status == 0, outcome.err
    assert "external.theirs: 20 clips of test, 30 labels each" in outcome.err
    submission = line.run / "submission-test.csv"
    assert outcome.out.splitlines()[-1] == str(submission)
    record = json.loads((line.run / "submission-test.json").read_text())
    blend = record["blend"]
    assert blend == json.loads((line.run / "blend/bundle/blend.json").read_text())
    assert record["not_packed"] == ["theirs"]
    weights = {name: own["weight"] for name, own in blend["members"].items()}
    assert list(weights) == ["bundle", "theirs"] and min(weights.values()) > 0.01
    ours, others = bundle_says(line, "test"), theirs("test")
    rows = rows_of(submission)
    assert rows.keys() == ours.keys()
    for clip, row in rows.items():
        mean = weights["bundle"] * ours[clip] + weights["theirs"] * others[clip]
        assert list(row.values()) == pytest.approx(mean[list(row)], rel=1e-4)
        assert set(row) == set(np.argsort(-mean)[:20].tolist())
    for split in ("search", "report"):
        score = blend[split]
        said = f"GAP of the blend on {split}: {score['gap']:.5f} +- {score['error']:.5f}"
        assert said in outcome.out
        assert score["gap"] > max(own[split]["gap"] for own in blend["members"].values())
    assert line.bundle.read_bytes() == before


def test_what_is_the_same_is_not_done_again(line: Line, external: str, tmp_path: Path) -> None:
    alone = line.call("stage=predict")
    plain = rows_of(line.run / "submission-test.csv")
    assert alone.out.strip() == str(line.run / "submission-test.csv")
    assert line.call("stage=predict", external).status == 0
    done = line.done()
    wanted = {"blend/bundle", "blend/search", "blend/report"}
    wanted |= {f"external/theirs/{split}" for split in COUNTS}
    assert wanted <= done.keys()
    blended = rows_of(line.run / "submission-test.csv")
    assert blended != plain
    assert line.call("stage=predict", external).status == 0
    assert line.done() == done
    # Another content, and what depends on it.
    write_csv(tmp_path / "test.csv", theirs("test"), best=21)
    assert line.call("stage=predict", external).status == 0
    after = line.done()
    assert {name for name in after if after[name] != done.get(name)} == {"external/theirs/test"}
    assert rows_of(line.run / "submission-test.csv") != blended
    assert line.call("stage=predict").status == 0
    assert rows_of(line.run / "submission-test.csv") == plain


def test_teachers_are_weighed_beside_them_and_taught_by_themselves(
    line: Line, external: str
) -> None:
    chosen = (line.run / "ensemble/DONE").read_bytes()
    outcome = line.call("stage=ensemble", external)
    assert outcome.status == 0, outcome.err
    blend = json.loads((line.run / "blend/teachers/blend.json").read_text())
    assert list(blend["members"]) == ["plain", "theirs"]
    for split in ("search", "report"):
        assert f"GAP of the blend on {split}: {blend[split]['gap']:.5f}" in outcome.out
    assert "teacher perceptron: plain" in outcome.out
    assert (line.run / "ensemble/DONE").read_bytes() == chosen


def test_the_report_has_the_blends(line: Line, external: str) -> None:
    for stage in ("ensemble", "predict", "report"):
        assert line.call(f"stage={stage}", external).status == 0
    page = (line.run / "report.html").read_text()
    assert "With external models" in page
    for name in ("teachers", "bundle"):
        blend = json.loads((line.run / f"blend/{name}/blend.json").read_text())
        assert f"{blend['report']['gap']:.5f} ± {blend['report']['error']:.5f}" in page
        assert f"{blend['members']['theirs']['weight']:.3f}"[:4] in page
    assert line.call("stage=report").status == 0
    assert "With external models" not in (line.run / "report.html").read_text()


def test_the_receipt_says_what_is_not_packed(line: Line, external: str) -> None:
    done, before = line.done(), line.bundle.read_bytes()
    outcome = line.call("stage=pack", external)
    assert outcome.status == 0, outcome.err
    assert json.loads(line.receipt.read_text())["not_packed"] == ["theirs"]
    assert "not packed: theirs, without weights" in outcome.out
    assert line.bundle.read_bytes() == before
    after = line.done()
    assert {name for name in after if after[name] != done.get(name)} == {"bundle"}


@pytest.mark.parametrize(
    ("stage", "overrides", "said"),
    [
        ("predict", ["external.a={report: r.csv}"], "external.a: key 'search' is mis"),
        ("predict", ["external.theirs.serch=s.csv"], "external.theirs: unknown key 'serch'; kno"),
        ("predict", ["external.theirs.labels=x"], "external.theirs.labels: must be one of index"),
        ("predict", ["external.theirs.test=/no.csv"], "external.theirs.test: no file /no.csv"),
        ("predict", ["external.theirs.test=[]"], "external.theirs.test: not set; give its predic"),
        ("predict", ["split=train"], "external: none has predictions of split 'train'"),
        ("ensemble", ["external.theirs.search={report}"], "60 of 60 clips are missing, the first"),
        ("ensemble", ["external.bundle={search: a.csv, report: b.csv}"], "external.bundle: anoth"),
        ("ensemble", ["external.plain={search: a.csv, report: b.csv}"], "external.plain: another"),
        ("ensemble", ["+external={a b: {search: a.csv, report: b.csv}}"], "external: name 'a b'"),
        ("ensemble", ["folds=3"], "is not done with this configuration; run stage=teachers"),
        ("predict", ["folds=3"], "160 of 220 clips are missing"),
        ("predict", ["folds=3"], "; with folds they are train and search"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    line: Line, external: str, tmp_path: Path, stage: str, overrides: Sequence[str], said: str
) -> None:
    named = [text.replace("{report}", str(tmp_path / "report.csv")) for text in overrides]
    done = line.done()
    assert said in line.call("-q", f"stage={stage}", external, *named).refusal()
    assert line.done().keys() - done.keys() <= {f"external/theirs/{split}" for split in COUNTS}


def test_a_bundle_that_was_trained_on_search_is_not_weighed_there(
    line: Line, external: str, tmp_path: Path
) -> None:
    """Another configuration takes the clips that the bundle was trained on for its `search`."""
    write_csv(tmp_path / "train.csv", theirs("train"))
    outcome = call(
        "stage=predict",
        f"bundle={line.bundle}",
        f"data.root={line.data}",
        "data.search.shards=train-*",
        "data.report.shards=report-*",
        "data.test.shards=test-*",
        f"outputs={tmp_path / 'elsewhere'}",
        external.replace("search.csv", "train.csv"),
    )
    assert "160 clips of search are among those that" in outcome.err
    assert outcome.status == 2
