"""Every family: in the documents, in the experiments that compare them, and in one bundle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from families import list_families
from families.registry import FAMILIES
from quantize import Bundle
from tests.line import call
from tests.test_experiments import experiment

# Without those that other tests registered from files of their own.
BUILT_IN = [name for name in list_families() if FAMILIES.source(name) is None]
# A registry that lost its entries would pass every test that goes over them.
FAMILIES_AT_LEAST = 23
DOCUMENT = Path(__file__).parent.parent / "docs" / "families.md"


def test_the_papers_families_are_there() -> None:
    assert len(BUILT_IN) >= FAMILIES_AT_LEAST


@pytest.mark.parametrize("name", ["zoo_smoke", "zoo_yt8m_video", "zoo_audioset"])
def test_every_family_is_in_every_zoo(name: str) -> None:
    members = experiment(name).members
    assert {member.family for member in members.values()} == set(BUILT_IN)


@pytest.mark.parametrize("name", ["zoo_yt8m_video", "zoo_audioset"])
def test_every_measured_member_has_its_row(name: str) -> None:
    table = DOCUMENT.read_text().partition(f"experiment={name} ")[2].partition("\n## ")[0]
    rows = [line.split()[:2] for line in table.splitlines() if line.startswith("    ")]
    for member, config in experiment(name).members.items():
        assert [member, config.family] in rows


def test_every_family_has_its_paragraph() -> None:
    text = DOCUMENT.read_text()
    for name in BUILT_IN:
        assert f"**`{name}`**" in text


@pytest.mark.slow
def test_one_member_of_every_family_fits_one_bundle(tmp_path: Path) -> None:
    root = f"data.root={tmp_path}/data"
    # What is shown here does not need many clips, and there are 92 processes to run.
    sizes = ("data.demo.train_clips=64", "data.demo.search_clips=40", "data.demo.report_clips=40")
    outcome = call("stage=all", "experiment=zoo_smoke", f"outputs={tmp_path}", root, *sizes)
    assert outcome.status == 0, outcome.err
    folder = tmp_path / "zoo_smoke" / "bundle"
    receipt = json.loads((folder / "receipt.json").read_text())
    assert {member["family"] for member in receipt["members"]} == set(BUILT_IN)
    assert receipt["bytes"] == (folder / "bundle.safetensors").stat().st_size
    bundle = Bundle.load(folder / "bundle.safetensors")
    assert sorted({member.family for member in bundle.members}) == BUILT_IN
    # A header, and the 40 clips of `test`.
    submission = tmp_path / "zoo_smoke" / "submission-test.csv"
    assert len(submission.read_text().splitlines()) == 41
