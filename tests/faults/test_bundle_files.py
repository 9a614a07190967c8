"""A bundle that is damaged, another's, or an enemy's: one line, status 2, and no score."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from common.files import sha256_file
from quantize import read_bundle, write_bundle
from stages.packing import packer
from tests.line import Line, means_line

# Of the refusals that name no file, what a file said, and the names of what there is.
LONGEST = 700


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return means_line(tmp_path_factory.getbasetemp())


@pytest.fixture
def line(finished: Line, tmp_path: Path) -> Line:
    return finished.copy(tmp_path)


def elsewhere(line: Line, folder: Path) -> Path:
    """The bundle and its receipt as somebody would send them."""
    folder.mkdir()
    shutil.copy(line.receipt, folder)
    return Path(shutil.copy(line.bundle, folder))


@pytest.mark.parametrize("stage", ["evaluate", "predict"])
def test_damage_is_named(finished: Line, tmp_path: Path, stage: str) -> None:
    bundle = elsewhere(finished, tmp_path / "sent")
    content = bytearray(bundle.read_bytes())
    content[-200] ^= 4
    bundle.write_bytes(content)
    line = finished.fresh(tmp_path)
    said = line.call(f"stage={stage}", f"bundle={bundle}").refusal()
    assert "has another sha256" in said and str(bundle) in said
    bundle.with_name("receipt.json").unlink()
    said = line.call(f"stage={stage}", f"bundle={bundle}").refusal()
    assert "is damaged" in said and "tensor 'plain/" in said and str(bundle) in said
    assert not list(line.outputs.rglob("*.csv"))


@pytest.mark.parametrize(
    ("receipt", "match"),
    [
        ({"bytes": 17}, "not 17"),
        ({"sha256": "0" * 64}, "has another sha256"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"bytes": "many"}, "receipt.json.bytes: expected int"),
        ("{", "not JSON"),
        ("[" * 10**6, "no receipt"),
        (" " * (8 * 2**20 + 1), "no receipt"),
        ('{"gap": NaN}', "NaN is no number"),
        ('{"gap": 1e999}', "1e999 is no number"),
    ],
    ids=range(9),
)
def test_a_receipt_of_another_is_refused(
    finished: Line, tmp_path: Path, receipt: dict[str, Any] | str, match: str
) -> None:
    bundle = elsewhere(finished, tmp_path / "sent")
    path = bundle.with_name("receipt.json")
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | receipt) if isinstance(receipt, dict) else receipt)
    said = finished.fresh(tmp_path).call("stage=evaluate", f"bundle={bundle}").refusal()
    assert match in said and str(path) in said


def test_scores_that_are_no_numbers_are_refused(finished: Line, tmp_path: Path) -> None:
    """Weights may be such that nothing is wrong with them but what comes out."""
    content = read_bundle(finished.bundle)
    (member,) = content.members
    plain = {
        name: torch.full_like(tensor, 9.9e17) if name.endswith("weight") else tensor
        for name, tensor in member.state.plain.items()
    }
    assert any(tensor.dim() == 2 for tensor in plain.values())
    state = replace(member.state, plain=plain)
    bundle = tmp_path / "bundle.safetensors"
    write_bundle(bundle, content.schema, [replace(member, state=state)], {}, "log_odds")
    line = finished.fresh(tmp_path)
    for stage in ("evaluate", "predict"):
        outcome = line.call(f"stage={stage}", f"bundle={bundle}")
        said = outcome.err.splitlines()[-1]
        assert outcome.status == 2
        assert "the bundle scores it NaN or infinite" in said and "clip '" in said
    assert not list(line.outputs.rglob("*.csv"))


def test_no_bundle_stands_before_it_is_scored(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = line.bundle.read_bytes()
    shutil.rmtree(line.bundle.parent)
    seen: list[str] = []

    def cut_short(bundle: Any, split: Any) -> Any:
        seen.extend(path.name for path in line.bundle.parent.iterdir())
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(packer, "score", cut_short)
        line.call("stage=pack")
    assert seen and line.bundle.name not in seen and not line.bundle.exists()
    # As a kill would have left it.
    left = line.bundle.with_name(f".{line.bundle.name}.unscored.tmp")
    left.write_bytes(expected[:1000])
    assert line.call("stage=pack").status == 0
    assert line.bundle.read_bytes() == expected
    assert not left.exists()
    assert json.loads(line.receipt.read_text())["sha256"] == sha256_file(line.bundle)


@pytest.mark.slow
def test_hostile_bundles_cost_next_to_nothing(tmp_path: Path) -> None:
    """Measured by themselves, where nothing else has taken memory."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.faults.hostile_bundles", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd=Path(__file__).parents[2],
    )
    found = [json.loads(line) for line in made.stdout.splitlines()]
    assert made.returncode == 0 and len(found) > 50, made.stderr
    for case in found:
        assert case["said"].startswith(str(tmp_path)), case
        assert case["said"].isprintable() and len(case["said"]) < LONGEST + len(str(tmp_path)), case
        assert case["megabytes"] < 200, case
        # A second on a machine that does nothing else.
        assert case["seconds"] < 30, case
