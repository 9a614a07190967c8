"""Weights are chosen on some clips and scored on others; AutoGluon's are those of our greedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.selection import comparison, methods
from benchmarks.selection.__main__ import main
from benchmarks.selection.evidence import Evidence, made_up, of_run
from ensemble.config import EnsembleConfig
from metrics import gap
from records import SplitSpec, open_split, read_truth
from runs import Predictions
from tests.conftest import SMALL_MEANS
from tests.line import means_line


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return made_up(members=3, clips=150, num_labels=40, stored=40)


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "EnsembleConfig", lambda: EnsembleConfig(trials=50))
    monkeypatch.setattr(methods, "ROUNDS", 5)


def test_no_clip_is_chosen_on_and_scored(evidence: Evidence) -> None:
    parts = list(comparison.divided(evidence.ids, 40))
    assert sorted(np.concatenate([unseen for _, unseen in parts])) == list(range(150))
    for chosen, unseen in parts:
        assert len(set(chosen)) == 40
        assert not set(chosen) & set(unseen)


def test_gaps_are_those_of_dense_probabilities(evidence: Evidence) -> None:
    table = comparison.measure(evidence, 40)
    probabilities = [1 / (1 + np.exp(-own.to_dense())) for own in evidence.members.values()]
    truth = evidence.labels.dense()
    for number, (_, unseen) in enumerate(comparison.divided(evidence.ids, 40), start=1):
        part = evidence.select(unseen)
        assert (part.labels.dense() == truth[unseen]).all()
        wanted = gap(part.labels, None, np.mean(probabilities, axis=0)[unseen])
        rows = table[table["range"] == number]
        flat = rows[rows["method"] == methods.FLAT]
        assert flat["gap"].tolist() == pytest.approx([wanted], abs=1e-6)
        assert flat[["gain", "gain_error"]].to_numpy().tolist() == [[0, 0]]
        assert (rows["gap"] - rows["gain"]).tolist() == pytest.approx([wanted] * len(rows))


def test_autogluon_chooses_as_our_greedy(evidence: Evidence) -> None:
    pytest.importorskip("autogluon.core")
    members = list(evidence.members.values())
    found = methods.autogluon(members, evidence.labels)
    assert found == pytest.approx(methods.greedy(members, evidence.labels))


def test_students_of_a_run_are_read_with_their_truth(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    line = means_line(tmp_path_factory.getbasetemp())
    found = of_run(line.run)
    parts = []
    for name in ("search", "report"):
        spec = SplitSpec(f"{name}-*.tfrecord")
        parts.append(read_truth(open_split(line.data, name, spec, SMALL_MEANS, cache=None)))
    assert found.ids.tolist() == np.concatenate([part.ids for part in parts]).tolist()
    assert found.labels.columns.tolist() == np.concatenate([p.columns for p in parts]).tolist()
    quantized = ["predictions-search-uniform8", "predictions-report"]
    trained = ["predictions-search", "predictions-report"]
    for members, room, files in (
        (found.members, "quantized", quantized),
        (found.whole, "students", trained),
    ):
        ((student, joined),) = members.items()
        folder = line.run / room / student
        stored = [Predictions.load(folder / f"{name}.safetensors") for name in files]
        assert joined.digest == Predictions.concatenate(stored).digest

    assert main([str(line.run), "--clips", "30", "60", "9999", "99999"]) == 0
    printed = capsys.readouterr().out
    assert printed.count(f"| {methods.FLAT} |") == printed.count(f"| {methods.OURS} |") == 3
    assert "| greedy | +0.0000 +- 0.0000 |" in printed  # of one member


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert "run stage=pack first" in capsys.readouterr().err
