"""Several budgets at once: a bundle each, and nothing of an older one looks current."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.files import sha256_file
from tests.line import Line, frames_line


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """A bundle of 2 MB, its submission and page. Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def several(finished: Line, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """The same run packed for two budgets; not to be changed either."""
    line = finished.copy(tmp_path_factory.mktemp("several"))
    line.run.joinpath("curve.png").write_bytes(b"of the bundle before")
    outcome = line.call("stage=pack", "budget=[300kB, 2 MB]")
    assert outcome.status == 0, outcome.err
    rows = [row.split() for row in outcome.out.splitlines()]
    assert [row[0] for row in rows[1:3]] == ["300kB", "2MB"]
    assert [row[-1] for row in rows if row[0] == "bundle"] == [str(b) for b in bundles(line)]
    return line


def bundles(line: Line) -> list[Path]:
    return [line.bundle.parent / name / line.bundle.name for name in ("300kB", "2MB")]


def test_each_is_what_it_is_alone(finished: Line, several: Line, tmp_path: Path) -> None:
    small, large = bundles(several)
    assert sha256_file(large) == sha256_file(finished.bundle)
    alone = finished.copy(tmp_path)
    assert alone.call("stage=pack", "budget=300kB").status == 0
    assert sha256_file(small) == sha256_file(alone.bundle)
    assert small.stat().st_size <= 300_000
    receipts = [json.loads(path.with_name("receipt.json").read_text()) for path in (small, large)]
    assert [receipt["budget_bytes"] for receipt in receipts] == [300_000, 2_000_000]
    assert [receipt["sha256"] for receipt in receipts] == [sha256_file(b) for b in (small, large)]
    assert small.with_name("members.csv").is_file()


def test_nothing_of_an_older_budget_looks_current(
    finished: Line, several: Line, tmp_path: Path
) -> None:
    of_bundle = ("submission-test.csv", "submission-test.json", "report.html", "members.csv")
    assert all((finished.run / name).exists() for name in of_bundle)
    assert not any((several.run / name).exists() for name in of_bundle)
    assert sorted(path.name for path in several.bundle.parent.iterdir() if path.is_dir()) == [
        "2MB",
        "300kB",
    ]
    assert not several.bundle.exists() and not several.receipt.exists()
    assert several.run.joinpath("curve.png").read_bytes().startswith(b"\x89PNG")
    # And back again, to one.
    line = several.copy(tmp_path)
    assert line.call("stage=pack", "budget=300kB").status == 0
    assert [path for path in line.bundle.parent.iterdir() if path.is_dir()] == []
    assert line.bundle.exists() and line.receipt.exists()


def test_a_submission_of_another_file_stays(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    assert line.call("stage=predict", f"bundle={finished.bundle}").status == 0
    assert line.call("stage=pack", "budget=300kB").status == 0
    assert (line.run / "submission-test.csv").exists()


@pytest.mark.parametrize("stage", ["predict", "evaluate", "export"])
def test_other_stages_say_which_to_name(several: Line, stage: str) -> None:
    refusal = several.call(f"stage={stage}").refusal()
    assert f"bundle={bundles(several)[1]}" in refusal and "300kB" in refusal


def test_one_of_several_is_read(several: Line, tmp_path: Path) -> None:
    small, _ = bundles(several)
    output = tmp_path / "small.onnx"
    outcome = several.call("stage=export", f"bundle={small}", f"output={output}")
    assert outcome.status == 0 and output.stat().st_size > 0


def test_the_page_of_several_says_so(several: Line, tmp_path: Path) -> None:
    outcome = several.copy(tmp_path).call("stage=report")
    assert outcome.status == 0
    (said,) = (row for row in outcome.err.splitlines() if "several budgets" in row)
    assert "300kB, 2MB" in said and "stage=pack budget=2MB" in said


def test_a_budget_that_nothing_fits_leaves_the_older_bundle(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    assert "budget" in line.call("stage=pack", "budget=[2MB,1kB]").refusal()
    assert line.bundle.exists() and (line.run / "submission-test.csv").exists()


@pytest.mark.parametrize(
    ("budget", "named"),
    [
        ("2M", ["budget=2M", "2MB", "2MiB"]),
        ("[1MB,2M]", ["budget=2M", "2MiB"]),
        ("[1MB,1000kB]", ["budget", "1000kB", "twice"]),
        ("[]", ["budget", "empty"]),
        ("1MB,2MB", ["budget=1MB,2MB", "budget=[", "-m"]),
    ],
)
def test_what_no_budget_is(finished: Line, budget: str, named: list[str]) -> None:
    """Whatever the stage is, and before anything is computed."""
    for stage in ("teachers", "evaluate"):
        refusal = finished.call(f"stage={stage}", f"budget={budget}").refusal()
        for word in named:
            assert word in refusal


def test_all_stages_take_one_budget(finished: Line) -> None:
    assert "stage=pack budget=" in finished.call("stage=all", "budget=[1MB,2MB]").refusal()
