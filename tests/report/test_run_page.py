"""The page of a large run whose every name is markup: its size, and what a browser makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.generated_run import generate_findings
from report.page import write_page
from report.run import run_page
from tests.report.browser import TALL, Browser

MEMBERS, CLIPS, LABELS = 100, 40, 3862
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>\u2028"
SHOWN = HOSTILE.replace("\u2028", "\\u2028")


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    findings = generate_findings(MEMBERS, CLIPS, LABELS, HOSTILE)
    path = tmp_path_factory.mktemp("large") / "report.html"
    write_page(path, run_page(replace(findings, arguments=[HOSTILE])))
    return path


def test_page_of_a_hundred_members_is_small(large_page: Path) -> None:
    assert large_page.stat().st_size < 10_000_000


def test_names_of_labels_clips_and_members_are_texts(browser: Browser, large_page: Path) -> None:
    browser.open(large_page, 1600, TALL)
    assert browser.errors() == []
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.run("return document.querySelectorAll('script:not([type])').length") == 2
    assert browser.texts(".notice") == [f"{SHOWN}notice"]
    assert browser.column("Leaderboard", "member")[0].startswith(f"{SHOWN}member")
    browser.search("Leaderboard", "member 77")
    assert browser.column("Leaderboard", "member") == [f"{SHOWN}member 77"]
    labels = browser.column("Scores by label", "label")
    assert len(labels) == 25 and all(name.startswith(f"{SHOWN}label") for name in labels)
    clips = browser.column("Clips that it gets most wrong", "clip")
    assert clips and all(name.startswith(f"{SHOWN}clip") for name in clips)
    # In the charts too: ticks, names of lines, and what shows under the pointer.
    assert "<img src=x" in browser.run("return document.querySelector('.ytick').textContent")
    browser.run(
        "for (const plot of document.querySelectorAll('.plot')) {"
        "  const point = plot.data[0].type === 'heatmap' ? [1, 0] : 0;"
        "  Plotly.Fx.hover(plot, [{curveNumber: plot.data.length - 1, pointNumber: point}]);"
        "}"
    )
    assert "<img src=x" in "".join(browser.texts(".hoverlayer"))
    assert browser.run("return window.hacked") is None
    assert browser.errors() == []


def test_page_of_a_hundred_members_fits_a_telephone(browser: Browser, large_page: Path) -> None:
    browser.open(large_page, 400)
    assert not browser.wider_than_window()
