"""`limit.milliseconds` of stage `pack`: what is measured once, kept exactly, and said."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from common.files import sha256_file
from stages.packing.latency import LATENCY_FOLDER
from tests.line import DONE, Line, frames_line

WIDE = "limit.milliseconds=1000"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A bundle of two members. Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def wide(finished: Line, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The same within a second a clip; not to be changed either."""
    line = finished.copy(tmp_path_factory.mktemp("wide"))
    outcome = line.call("stage=pack", WIDE)
    assert outcome.status == 0, outcome.err
    (said,) = (row for row in outcome.out.splitlines() if row.startswith("milliseconds a clip"))
    assert said.endswith("of 1000")
    assert "on this machine: one thread of " in outcome.out
    return line


def latency_of(line: Line) -> dict[str, Any]:
    (found,) = json.loads(line.receipt.read_text())["latency"]
    return dict(found)


def marks(line: Line) -> dict[str, int]:
    found = (line.run / LATENCY_FOLDER).glob(f"*/{DONE}")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


def rows_of(line: Line) -> list[dict[str, str]]:
    return list(csv.DictReader((line.run / "curve.csv").open(newline="")))


def test_without_a_limit_nothing_is_measured(finished: Line) -> None:
    assert not (finished.run / LATENCY_FOLDER).exists()
    assert "latency" not in json.loads(finished.receipt.read_text())
    assert "milliseconds" not in rows_of(finished)[0]


def test_a_wide_limit_says_what_a_clip_takes(finished: Line, wide: Line) -> None:
    assert sha256_file(wide.bundle) == sha256_file(finished.bundle)
    found = latency_of(wide)
    receipt = json.loads(wide.receipt.read_text())
    assert list(found["members"]) == [own["name"] for own in receipt["members"]]
    assert found["milliseconds"] == pytest.approx(sum(found["members"].values()))
    assert found["limit"] == 1000 and found["batch"] == 1
    assert all(taken > 0 for taken in found["members"].values())
    rows = rows_of(wide)
    assert {row["limit"] for row in rows} == {"1000.0"}
    measured = {
        path.parent.name: json.loads(path.read_text())["summary"]["batch 1"]
        for path in (wide.run / LATENCY_FOLDER).glob(f"*/{DONE}")
    }
    for row in rows:
        taken = sum(measured[name] for name in row["members"].split()) / 10**6
        assert float(row["milliseconds"]) == taken
    (line,) = (row for row in rows if int(row["bytes"]) == receipt["bytes"])
    assert float(line["milliseconds"]) == found["milliseconds"]


def test_it_is_measured_once_and_kept_exactly(wide: Line, tmp_path: Path) -> None:
    line, before = wide.copy(tmp_path), latency_of(wide)
    marked = marks(line)
    assert marked.keys() == before["members"].keys() == {"plain", "vlad"}
    # As much as the faster member takes, to the nanosecond.
    least = min(before["members"].values())
    assert line.call("stage=pack", f"limit.milliseconds=[{least},900]").status == 0
    assert marks(line) == marked
    found = latency_of(line)
    assert list(found["members"].values()) == [found["milliseconds"]] == [least]
    assert {row["limit"] for row in rows_of(line)} == {str(least), "900.0"}
    page = line.call("stage=report")
    assert page.status == 0, page.err
    text = (line.run / "report.html").read_text()
    assert "milliseconds by member" in text and "on this machine" in text


def test_what_nothing_keeps_to_is_one_line(wide: Line, tmp_path: Path) -> None:
    line = wide.copy(tmp_path)
    refusal = line.call("stage=pack", "limit.milliseconds=0.000001").refusal()
    least = min(latency_of(wide)["members"].values())
    assert "limit.milliseconds=1e-06" in refusal and f"at least {least}" in refusal
    assert line.bundle.exists()


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ("milliseconds=0", "limit.milliseconds"),
        ("milliseconds=2ms", "limit.milliseconds"),
        ("milliseconds=[]", "limit.milliseconds"),
        ("milliseconds=[2,2]", "limit.milliseconds"),
        ("batch=2", "limit.batch"),
    ],
)
def test_what_no_limit_is(finished: Line, limit: str, named: str) -> None:
    assert named in finished.call("stage=teachers", f"limit.{limit}").refusal()
