"""`folds=3`: all is chosen on clips that no model behind a score saw, through the whole line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metrics import Labels, gap
from quantize import Bundle
from records import id_number
from records.folds import HELD, Part
from runs import Predictions
from stages.config import Config
from stages.jobs import predictions_name
from stages.packing.copies import Gain, UnseenByAll
from tests.conftest import SMALL_MEANS, make_clips
from tests.folds import COUNTS, FOLDS, fold_of, make_line
from tests.line import Line

TRAININGS = ("teachers/plain", "teachers/recall", "students/plain", "students/late")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A perceptron, neighbors on it, and a student of students. Not to be changed."""
    return make_line(tmp_path_factory.mktemp("folds"), leak=False)


def held(line: Line, training: str, fold: int) -> Predictions:
    return Predictions.load(line.run / f"folds/{fold}" / training / predictions_name(HELD))


def receipt_of(line: Line) -> dict[str, Any]:
    return json.loads(line.receipt.read_text())


@pytest.mark.parametrize("training", TRAININGS)
def test_each_clip_is_predicted_by_the_models_that_did_not_see_it(
    finished: Line, training: str
) -> None:
    found: list[str] = []
    for fold in range(FOLDS):
        ids = held(finished, training, fold).ids.tolist()
        assert {fold_of(name) for name in ids} == {fold}
        found += ids
    learned = [c.id for seed in (0, 1) for c in make_clips(SMALL_MEANS, (160, 60)[seed], seed)]
    assert sorted(found) == sorted(learned)


def test_neighbors_remember_no_clip_of_their_fold(finished: Line) -> None:
    remembered = []
    for fold in range(FOLDS):
        folder = finished.run / f"folds/{fold}/students/recall"
        job = json.loads((folder / "job.json").read_text())
        host = Path(job["setting"]["host"]["trained"]["folder"])
        assert host == (finished.run / f"folds/{fold}/students/plain").resolve()
        ids = json.loads((folder / "remembered.json").read_text())
        assert fold not in {fold_of(name) for name in ids}
        remembered += ids
    assert len(remembered) == FOLDS * 40


def test_what_is_packed_was_trained_on_all_clips(finished: Line) -> None:
    teacher = finished.run / "training-predictions/teachers-plain" / predictions_name("train")
    assert len(Predictions.load(teacher)) == COUNTS["train"] + COUNTS["search"]
    receipt = receipt_of(finished)
    names = {member["name"] for member in receipt["members"] + receipt["left_out"]}
    assert names == {"plain", "recall", "late"}
    for name in names:
        summary = json.loads((finished.run / "students" / name / "DONE").read_text())["summary"]
        assert summary["gap_report_main"] > 0.1
        assert summary["gap_search_main"] is None


def test_the_expected_score_is_that_of_the_clips_held_out(finished: Line) -> None:
    """The receipt's GAP on `search`, computed anew from what the models of the folds said."""
    receipt = receipt_of(finished)
    mixed, true = [], []
    labels = {
        clip.id: clip.labels
        for seed in (0, 1)
        for clip in make_clips(SMALL_MEANS, (160, 60)[seed], seed)
    }
    for fold in range(FOLDS):
        total = 0.0
        for member in receipt["members"]:
            folder = finished.run / f"folds/{fold}/quantized" / member["name"]
            name = predictions_name(f"{HELD}-{member['precision']}")
            found = Predictions.load(folder / name)
            total = total + member["weight"] / (1 + np.exp(-found.to_dense().astype(np.float64)))
        mixed.append(total)
        true += [np.isin(np.arange(30), labels[name]) for name in found.ids]
    scores = np.concatenate(mixed)
    wanted = gap(Labels.from_dense(np.array(true)), None, scores)
    assert receipt["search_gap"] == pytest.approx(wanted, abs=1e-6)
    assert 0 < receipt["search_gap_error"] < 0.1


def test_nothing_of_a_fold_reaches_its_predictions(finished: Line, tmp_path: Path) -> None:
    """Labels that only the clips of fold 0 have change all models, but none that scores these."""
    other = make_line(tmp_path, leak=True)
    paths = sorted((finished.run / "folds").rglob("predictions-*.safetensors"))
    names = [path.relative_to(finished.run / "folds").as_posix() for path in paths]
    changed = {
        name
        for name in names
        if (finished.run / "folds" / name).read_bytes() != (other.run / "folds" / name).read_bytes()
    }
    of_first = {name for name in names if name.startswith("0/")}
    # Five trainings on two splits, three soft targets' predictions, three measurements.
    assert len(of_first) > 5 * 2 + 3
    assert not changed & of_first
    assert {f"1/{training}/{predictions_name(HELD)}" for training in TRAININGS} <= changed


def test_page_of_the_run_shows_what_was_chosen_on_all_folds(finished: Line) -> None:
    page = (finished.run / "report.html").read_text()
    assert 'class="notice"' not in page
    receipt = receipt_of(finished)
    assert f"{receipt['search_gap']:.5f} ± {receipt['search_gap_error']:.5f}" in page
    compared = json.loads((finished.run / "report/curve/comparison.json").read_text())
    assert compared["best"] and compared["uniform8"]


def test_what_is_packed_stops_where_the_folds_did_on_average(
    finished: Line, tmp_path: Path
) -> None:
    line = finished.fresh(tmp_path)
    patience = ("train.patience=0.4", "train.evaluate_every=0.1", "train.epochs=4")
    outcome = line.call("stage=teachers", "~members.recall", *patience)
    assert outcome.status == 0, outcome.err
    folders = [line.run / f"folds/{fold}/teachers/plain" for fold in range(FOLDS)]
    whole, *folds = (
        json.loads((folder / "DONE").read_text())["summary"]
        for folder in (line.run / "teachers/plain", *folders)
    )
    mean = sum(fold["stop"] for fold in folds) / FOLDS
    assert 0 < mean < 4 and whole["stop"] is None
    # 27 steps an epoch, and an epoch of averaging.
    assert whole["steps"] == round(27 * mean) + 27


def test_given_again_nothing_is_done_again(finished: Line) -> None:
    before = finished.done()
    for stage in ("teachers", "distill", "pack"):
        assert finished.call(f"stage={stage}").status == 0
    assert finished.done() == before


@pytest.fixture
def gaining(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means of several models gain, which ten clips may deny."""
    monkeypatch.setattr(UnseenByAll, "gain", lambda self, weights, models, n: Gain(n, n / 10, 0.0))


@pytest.mark.usefixtures("gaining")
def test_the_models_of_the_folds_are_packed(finished: Line, tmp_path: Path) -> None:
    """`final=bag`: the same trainings of the folds, and none beyond them."""
    line = finished.copy(tmp_path)
    trained = {name for name in finished.done() if name.startswith("folds/")}
    before = {name: when for name, when in line.done().items() if "quantized" not in name}
    outcome = line.call("stage=pack", "final=bag", "quantize.precisions=[]")
    assert outcome.status == 0, outcome.err
    after = line.done()
    assert all(after[name] == before[name] for name in before if name in trained)
    bundle, receipt = Bundle.load(line.bundle), receipt_of(line)
    names = [member["name"] for member in receipt["members"]]
    assert receipt["copies"] == FOLDS
    assert {"plain", "plain+2", "plain+3"} <= set(names)
    hosts = {m.name: m.config["of"] for m in bundle.members if m.family == "neighbors"}
    assert hosts == {n: n.replace("recall", "plain") for n in names if n.startswith("recall")}
    weights = {member["name"]: member["weight"] for member in receipt["members"]}
    assert weights["plain"] == weights["plain+2"] == weights["plain+3"]
    # The mix of what the folds' models said of `report`, by a plain loop.
    mixed = 0.0
    for name, weight in weights.items():
        student, _, number = name.partition("+")
        folder = line.run / f"folds/{int(number or 1) - 1}/students/{student}"
        found = Predictions.load(folder / predictions_name("report"))
        order = np.argsort(found.ids)
        mixed = mixed + weight / (1 + np.exp(-found.select(order).to_dense().astype(np.float64)))
    clips = sorted(make_clips(SMALL_MEANS, COUNTS["report"], 2), key=lambda clip: clip.id)
    true = np.array([np.isin(np.arange(30), clip.labels) for clip in clips])
    wanted = gap(Labels.from_dense(true), None, np.asarray(mixed))
    assert receipt["gap_float"] == pytest.approx(wanted, abs=1e-6)
    outcome = line.call("stage=report", "final=bag", "quantize.precisions=[]")
    assert outcome.status == 0, outcome.err
    page = (line.run / "report.html").read_text()
    assert 'class="notice"' not in page and f"{receipt['gap']:.5f}" in page


@pytest.mark.usefixtures("gaining")
def test_copies_are_trained_once_more_and_packed(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    before = line.done()
    assert line.call("stage=distill", "copies=2").status == 0
    new = line.done().keys() - before.keys()
    assert new == {"students/plain+2", "students/late+2"}
    assert line.call("stage=pack", "copies=2").status == 0
    receipt = receipt_of(line)
    states = {
        name: (line.run / f"students/{name}/weights.safetensors").read_bytes()
        for name in ("plain", "plain+2")
    }
    assert states["plain"] != states["plain+2"]
    names = {member["name"] for member in receipt["members"]}
    assert {"plain", "plain+2"} <= names
    assert "recall+2" not in names
    assert (receipt["copies"], receipt["copies_gain"]) == (2, 0.2)


def test_only_one_model_of_each_is_packed_where_several_gain_nothing(
    finished: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UnseenByAll, "gain", lambda self, weights, models, n: Gain(n, -1.0, 0.0))
    line = finished.copy(tmp_path, "selection", "bundle")
    assert line.call("stage=pack", "final=bag").status == 0
    receipt = receipt_of(line)
    assert receipt["copies"] == 1
    assert not any("+" in member["name"] for member in receipt["members"])


def test_the_gain_of_a_mean_is_that_of_clips_which_no_model_learned_from(finished: Line) -> None:
    """By plain loops over the clips that only chose, and never taught."""
    learned = [c for seed in (0, 1) for c in make_clips(SMALL_MEANS, (160, 60)[seed], seed)]
    unseen = [c for c in learned if id_number(c.id) % 2**32 / 2**32 * FOLDS - fold_of(c.id) < 0.05]
    assert len(unseen) > 3
    rows = []
    for fold in range(FOLDS):
        scores: dict[str, np.ndarray] = {}
        for found in (of_plain(finished, split, fold) for split in (HELD, "search")):
            scores |= dict(zip(found.ids.tolist(), found.to_dense().astype(float), strict=True))
        rows.append(1 / (1 + np.exp(-np.array([scores[clip.id] for clip in unseen]))))
    true = Labels.from_dense(np.array([np.isin(np.arange(30), c.labels) for c in unseen]))
    single = np.mean([gap(true, None, row) for row in rows])
    held = [
        [of_plain(finished, split, fold) for fold in range(FOLDS)] for split in (HELD, "search")
    ]
    clips = {clip.id: np.isin(np.arange(30), clip.labels) for clip in learned}
    truths = [Labels.from_dense(np.array([clips[name] for name in own.ids])) for own in held[0]]
    means = UnseenByAll({"plain": held[0]}, {"plain": held[1]}, truths, "probability")
    gain = means.gain({"plain": 1.0}, {"plain": FOLDS}, FOLDS)
    assert gain.gap == pytest.approx(gap(true, None, np.mean(rows, axis=0)) - single, abs=1e-6)
    pairs = [(rows[a] + rows[(a + 1) % FOLDS]) / 2 for a in range(FOLDS)]
    wanted = np.mean([gap(true, None, pair) for pair in pairs]) - single
    assert means.gain({"plain": 1.0}, {"plain": 5}, 2).gap == pytest.approx(wanted, abs=1e-6)
    # Of what there is one model, its copies bring nothing.
    assert means.gain({"plain": 1.0}, {"plain": 1}, 3).gap == 0


def of_plain(line: Line, split: str, fold: int) -> Predictions:
    path = line.run / f"folds/{fold}/students/plain" / predictions_name(split)
    return Predictions.load(path)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("final=bag", "folds=0"), "final: bag packs the models of the folds"),
        (("copies=2", "folds=0"), "copies: they are of what is trained once more"),
        (("copies=2", "final=bag"), "copies: they are of what is trained once more"),
        (
            ("copies=2", "distill.students={plain+2: {member: plain}}"),
            "plain+2 is what the 2. model of plain would be called",
        ),
    ],
)
def test_what_cannot_be_packed_is_refused(
    finished: Line, tmp_path: Path, overrides: tuple[str, ...], says: str
) -> None:
    assert says in finished.fresh(tmp_path).call("stage=teachers", *overrides).refusal()


def test_without_a_search_split_there_is_enough_to_choose_by(
    finished: Line, tmp_path: Path
) -> None:
    line = finished.fresh(tmp_path)
    outcome = line.call("stage=ensemble", "data.search.shards=null").refusal()
    assert "teachers/plain" in outcome
    assert line.call("stage=teachers", "data.search.shards=null").status == 0
    ids = [held(line, "teachers/plain", fold).ids for fold in range(FOLDS)]
    assert sum(map(len, ids)) == COUNTS["train"]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_part_takes_each_clip_once(count: int) -> None:
    ids = np.random.default_rng(count).integers(0, 2**64, 20_000, dtype=np.uint64)
    held = np.stack([Part(count, fold).takes(HELD, ids) for fold in range(count)])
    assert (held.sum(axis=0) == 1).all()
    assert held.mean(axis=1) == pytest.approx(np.full(count, 1 / count), abs=0.02)
    # Splits that are cut by the hash of the id have it by its upper bits.
    cut = ids < np.uint64(2**63)
    assert held[:, cut].mean(axis=1) == pytest.approx(np.full(count, 1 / count), abs=0.02)
    for fold in range(count):
        taken = [Part(count, fold).takes(split, ids) for split in ("train", "search", HELD)]
        assert (np.sum(taken, axis=0) == 1).all()
        assert taken[1].sum() / (taken[0].sum() + taken[1].sum()) == pytest.approx(0.05, abs=0.01)
    assert Part(count).takes("train", ids).all()
    assert not Part(count).takes("search", ids).any()


def test_one_fold_is_none(finished: Line, tmp_path: Path) -> None:
    assert "folds: 1 leaves nothing" in finished.fresh(tmp_path).call("folds=1").refusal()
    assert Config().folds == 0


def test_a_bundle_is_weighed_by_what_its_folds_did_not_see(finished: Line, tmp_path: Path) -> None:
    """Beside another program's predictions, which are of the clips of `train` too."""
    line = finished.copy(tmp_path)
    for name, seeds in (("search", (0, 1)), ("report", (2,))):
        clips = [c for s in seeds for c in make_clips(SMALL_MEANS, list(COUNTS.values())[s], s)]
        rows = [f"{clip.id},{clip.labels[0]},0.6" for clip in clips]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,label,confidence", *rows]))
    files = ",".join(f"{name}: {tmp_path / name}.csv" for name in ("search", "report"))
    outcome = line.call("stage=predict", "external.theirs={" + files + "}")
    assert outcome.status == 0, outcome.err
    blend = json.loads((line.run / "blend/bundle/blend.json").read_text())
    receipt = receipt_of(finished)
    # Of one model of each student, and without what is not stored.
    alone = blend["members"]["bundle"]["search"]
    assert alone["gap"] == pytest.approx(receipt["search_gap"], abs=1e-4)
    assert blend["members"]["bundle"]["report"]["gap"] == pytest.approx(receipt["gap"], abs=1e-6)
    assert blend["search"]["gap"] > alone["gap"]
    assert outcome.out.splitlines()[-1] == str(line.run / "submission-report.csv")
    ids = Predictions.load(line.run / "blend/search" / predictions_name("search")).ids.tolist()
    assert [fold_of(name) for name in ids] == sorted(fold_of(name) for name in ids)
    other = line.call("stage=predict", "external.theirs={" + files + "}", "seed=1")
    assert "run stage=teachers first" in other.err and other.status == 2
