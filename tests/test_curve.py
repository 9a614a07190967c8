"""Stage `pack` over one budget after another: the curve, what it promised, and what the file is."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from scipy import stats

from quantize import read_bundle
from tests.line import Line, frames_line

# Of tensors as small as these, so that precisions differ.
QUANTIZED = ("quantize.threshold=30",)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A run of two members whose tensors are quantized, packed with room for all."""
    finished = frames_line(tmp_path_factory.getbasetemp())
    line = finished.copy(tmp_path_factory.mktemp("curve"))
    outcome = line.call("stage=pack", *QUANTIZED)
    assert outcome.status == 0, outcome.err
    return line


def rows_of(line: Line, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((line.run / name).open(newline="")))


def receipt_of(line: Line) -> dict[str, Any]:
    return json.loads(line.receipt.read_text())


def test_curve_rises_and_the_packed_bundle_is_on_it(packed: Line) -> None:
    rows = [(int(row["bytes"]), float(row["gap"])) for row in rows_of(packed, "curve.csv")]
    assert len(rows) >= 3
    for (size, gap), (next_size, next_gap) in itertools.pairwise(rows):
        assert size < next_size and gap < next_gap
    receipt = receipt_of(packed)
    assert (receipt["bytes"], receipt["search_gap"]) in rows
    assert (packed.run / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_sensitivity_has_every_student_by_every_recipe(packed: Line) -> None:
    rows = rows_of(packed, "sensitivity.csv")
    recipes: dict[str, list[str]] = {}
    for row in rows:
        recipes.setdefault(row["member"], []).append(row["recipe"])
        assert float(row["loss"]) == pytest.approx(0, abs=0.2)
    whole = ["uniform8", "channel4", "channel5", "channel6", "float16", "float32"]
    assert recipes.keys() == {"vlad", "plain"}
    for tried in recipes.values():
        assert tried[:6] == whole
        assert set(tried[6:8]) == {"uniform8+head=channel4", "uniform8+aggregation=channel4"}
        assert tried[8:] == [f"mixed{rung}" for rung in range(1, 7)]
    at = {(row["member"], row["recipe"]): row for row in rows}
    for member in recipes:
        sizes = [int(at[member, name]["bytes"]) for name in ("channel4", "uniform8", "float32")]
        assert sizes == sorted(sizes)
        mixed = [int(at[member, f"mixed{rung}"]["bytes"]) for rung in range(1, 7)]
        assert mixed == sorted(mixed, reverse=True) and mixed[-1] < sizes[0] < mixed[0]
        assert float(at[member, "float32"]["loss"]) == 0


def test_baseline_is_never_better_on_search(packed: Line) -> None:
    receipt = receipt_of(packed)
    (baseline,) = receipt["uniform8"]
    assert set(baseline["weights"]) == {"vlad", "plain"}
    # Better is what counts evenness too: 2.5 a nat, over the 60 clips of `search`.
    own = [member["weight"] for member in receipt["members"]]
    score = receipt["search_gap"] + 2.5 / 60 * stats.entropy(own)
    rival = baseline["search_gap"] + 2.5 / 60 * stats.entropy(list(baseline["weights"].values()))
    assert score >= rival - 1e-9 or receipt["search_gap"] > baseline["search_gap"]
    assert 0 < receipt["uniform8_gap"] < 1


def test_with_less_room_the_budget_holds_and_the_promise_too(packed: Line, tmp_path: Path) -> None:
    line = packed.copy(tmp_path)
    budget = receipt_of(line)["bytes"]
    measured = {name: time for name, time in line.done().items() if name.startswith("quantized")}
    for _ in range(2):
        curve = [(int(r["bytes"]), float(r["gap"])) for r in rows_of(line, "curve.csv")]
        budget = (curve[0][0] + budget) // 2
        promised = max(gap for size, gap in curve if size <= budget)
        outcome = line.call("stage=pack", f"budget={budget}", *QUANTIZED)
        assert outcome.status == 0, outcome.err
        receipt = receipt_of(line)
        assert receipt["bytes"] == line.bundle.stat().st_size <= budget
        assert receipt["search_gap"] >= promised - 1e-12
        found = line.call("stage=evaluate", "split=search", *QUANTIZED)
        # Behind it stands its standard error.
        gap = float({row.split()[0]: row.split()[1] for row in found.out.splitlines()}["gap"])
        assert gap == pytest.approx(receipt["search_gap"], abs=1e-6)
    after = {name: time for name, time in line.done().items() if name.startswith("quantized")}
    assert after == measured


def test_the_codes_that_were_measured_are_packed(packed: Line, tmp_path: Path) -> None:
    line = packed.copy(tmp_path)
    offered = "quantize.precisions=[]", "quantize.group_precisions=[]"
    # Room for little else than the coarsest of the mixed recipes.
    rows = [row for row in rows_of(line, "sensitivity.csv") if row["recipe"] == "mixed6"]
    budget = max(int(row["bytes"]) for row in rows) + 7_900
    outcome = line.call("stage=pack", f"budget={budget}", *offered, *QUANTIZED)
    assert outcome.status == 0, outcome.err
    chosen = {row["name"]: row["precision"] for row in receipt_of(line)["members"]}
    content = read_bundle(line.bundle)
    assert any(recipe.startswith("mixed") for recipe in chosen.values())
    for member in content.members:
        folder = line.run / "quantized" / member.name
        mixed = {r["name"]: r["overrides"] for r in json.loads((folder / "mixed.json").read_text())}
        stored = {name: codes.precision for name, codes in member.state.codes.items()}
        if chosen[member.name] in mixed:
            assert stored == mixed[chosen[member.name]]
        measured = load_file(folder / "rounded.safetensors")
        compared = 0
        for name, codes in member.state.codes.items():
            if (place := f"{name}/{codes.precision}") in measured:
                assert torch.equal(codes.codes, measured[place])
                compared += 1
        assert compared or chosen[member.name] == "uniform8"


def test_entropy_coding_loses_nothing(packed: Line, tmp_path: Path) -> None:
    line = packed.copy(tmp_path)
    before = receipt_of(line)
    outcome = line.call("stage=pack", "quantize.entropy=true", *QUANTIZED)
    assert outcome.status == 0, outcome.err
    receipt = receipt_of(line)
    assert receipt["bytes"] == line.bundle.stat().st_size <= before["bytes"]
    assert receipt["search_gap"] == pytest.approx(before["search_gap"], abs=0.02)


def test_unknown_precision_is_refused_before_anything_runs(packed: Line) -> None:
    refusal = packed.call("stage=pack", "quantize.precisions=[uniform7]").refusal()
    assert "uniform7" in refusal and "channel4" in refusal
