"""Pages in a real browser: sorted, searched, drawn, and hostile names shown as they are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from report.page import (
    Chart,
    Code,
    Column,
    Element,
    Facts,
    Page,
    Section,
    Table,
    Text,
    render_page,
    write_page,
)
from report.page.embed import chart_values, json_text, plain, visible
from tests.report.browser import TALL, Browser

HOSTILE = (
    '<img src=x onerror="window.hacked=1">',
    "</script><script>window.hacked=2</script>",
    "<!--<script>",
    "]]></style><svg onload='window.hacked=3'>",
    "\u2028window.hacked=4//\u2029",
    "{{ 7 * 7 }}{% raw %}",
    "%{x}<extra>",
    '<a href="javascript:window.hacked=5">click</a>',
    "&lt;b&gt; &amp; <b>bold</b>",
    "turned \u202e around",
    "$\\href{javascript:window.hacked=6}{x}$",
)


def hostile_page() -> Page:
    """Every name of `HOSTILE` wherever a page can have one."""
    names = list(HOSTILE)
    table = Table(
        [Column("name", help=names[0]), Column(names[1], "integer")],
        [[name, number] for number, name in enumerate(names)],
        caption="Names",
    )
    bars = {"type": "bar", "x": names, "y": list(range(1, len(names) + 1)), "text": names}
    lines = [
        {"type": "scatter", "x": [1, 2], "y": [n, n], "name": name, "customdata": [name] * 2}
        for n, name in enumerate(names)
    ]
    heat = {"type": "heatmap", "x": names, "y": names, "z": np.eye(len(names))}
    title = {"xaxis": {"type": "category", "title": {"text": names[1]}}}
    elements: list[Element] = [
        Facts(dict.fromkeys(names, names[1])),
        *map(Text, names),
        table,
        Chart(names[0], [bars | {"hovertemplate": "%{x}\n%{y}"}], title, height=600),
        Chart(names[1], lines, {"annotations": [{"text": names[7], "x": 1, "y": 1}]}),
        Chart(names[4], [heat], {"yaxis": {"type": "category"}}),
        Code("\n".join(names)),
    ]
    return Page(names[1], names[0], [Section(name, elements) for name in names[:2]], names)


def test_hostile_names_do_nothing_and_are_shown(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    write_page(path, hostile_page())
    browser.open(path, height=TALL)
    assert browser.errors() == []
    assert browser.run("return window.hacked") is None
    assert browser.run("return document.querySelectorAll('img, a[href^=javascript]').length") == 0
    assert browser.requested() == []
    # The page's own two scripts, and none that a name has brought.
    assert browser.run("return document.querySelectorAll('script:not([type])').length") == 2
    assert browser.column("Names", "name")[:2] == list(HOSTILE[:2])
    shown = browser.run(
        "return [...document.querySelectorAll('.plot')][0].querySelector('.xaxislayer-above')"
        ".textContent"
    )
    assert HOSTILE[0] in shown and "<b>bold</b>" in shown and "\\u202e" in shown
    # A label that shows itself under the pointer is a text like any other.
    plot = "document.querySelector('.plot')"
    for point in range(len(HOSTILE)):
        browser.run(f"Plotly.Fx.hover({plot}, [{{curveNumber: 0, pointNumber: {point}}}])")
    assert browser.run("return document.querySelectorAll('.hovertext').length") == 1
    assert browser.run("return window.hacked") is None
    assert browser.errors() == []


def test_policy_stops_what_escaping_would_let_through(browser: Browser, tmp_path: Path) -> None:
    html = render_page(Page("A page", "", [Section("Part", [Text("PLACE")])]))
    attack = "<img src='x' onerror='window.hacked=1'><script>window.hacked=2</script>"
    path = tmp_path / "attacked.html"
    path.write_text(html.replace("PLACE", attack))
    browser.open(path)
    assert browser.run("return window.hacked") is None
    assert any("Content Security Policy" in message for message in browser.errors())


@pytest.fixture(scope="module")
def table_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty labels, some without a score; a short table beside it."""
    scores = [None if n % 10 == 0 else (n * 7 % 40) / 40 for n in range(40)]
    rows = [[f"label {n}", n * 1000, score] for n, score in enumerate(scores)]
    columns = [Column("label"), Column("clips", "integer"), Column("AP", "number", 3)]
    chart = Chart("Line", [{"x": [1, 2, 3], "y": [0.1, 0.4, 0.2], "line": {"color": "var(--ink)"}}])
    small = Table([Column("a"), Column("b", "bytes")], [["x", 999], ["y", 1_500_000]], None, "Few")
    path = tmp_path_factory.mktemp("page") / "table.html"
    labels = Table(columns, rows, (1, "descending"), "Labels")
    write_page(path, Page("A page", "of a test", [Section("Part", [labels, small, chart])]))
    return path


def test_table_is_sorted_searched_and_turned(browser: Browser, table_page: Path) -> None:
    browser.open(table_page)
    assert browser.column("Labels", "label")[0] == "label 39"
    assert browser.column("Labels", "clips")[0] == "39,000"
    assert len(browser.column("Labels", "label")) == 25
    browser.sort("Labels", "AP")
    first = browser.column("Labels", "AP")
    assert first == sorted(first, reverse=True) and first[0] == "0.975"
    browser.run(
        "arguments[0].querySelectorAll('.tools button')[1].click()", browser.table("Labels")
    )
    # What has no score comes last, whichever way.
    assert browser.column("Labels", "AP")[-4:] == ["–"] * 4
    browser.sort("Labels", "AP")
    assert browser.column("Labels", "AP")[0] == "0.025"
    browser.sort("Labels", "label")
    # As numbers in names are counted, and not 1, 10, 11.
    assert browser.column("Labels", "label")[:3] == ["label 0", "label 1", "label 2"]
    browser.search("Labels", "LABEL 17")
    assert browser.column("Labels", "label") == ["label 17"]
    assert browser.column("Few", "b") == ["999 B", "1.5 MB"]
    assert browser.errors() == []


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_its_window(browser: Browser, table_page: Path, width: int, dark: bool) -> None:
    browser.open(table_page, width, TALL, dark)
    assert not browser.wider_than_window()
    ink = browser.run("return getComputedStyle(document.querySelector('.xtick text')).fill")
    assert ink == ("rgb(228, 231, 234)" if dark else "rgb(28, 31, 35)")
    assert browser.errors() == []


def test_page_is_one_file_and_the_same_each_time() -> None:
    html = render_page(hostile_page())
    assert html == render_page(hostile_page())
    without_library = re.sub(r'id="library">[^<]*<', "", html)
    assert not re.search(r"""(?:src|href|url)\s*=?\s*["'(]\s*(?:https?:)?//""", without_library)
    assert len(html) < 2_500_000
    # The library of charts is there once, and not at all where there is no chart.
    assert len(render_page(Page("A page", "", [Section("Part", [Text("text")])]))) < 30_000


def test_values_become_plain() -> None:
    found = plain({"a": np.array([1.23456789, np.nan, np.inf]), "b": (np.int64(3), "x\x00")})
    assert found == {"a": [1.23457, None, None], "b": [3, "x\\x00"]}
    assert len(plain("x" * 10_000)) < 400
    assert json_text("</script>\u2028") == '"\\u003c/script\\u003e\\u2028"'
    assert visible("क्‍ष 👩‍👩‍👧 \u2066") == "क्‍ष 👩‍👩‍👧 \\u2066"
    assert chart_values(["<b>&lt;"]) == ["&lt;b&gt;&amp;lt;"]


def test_rows_that_do_not_fit_their_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="2 columns"):
        Table([Column("a"), Column("b")], [["x", 1], ["y"]])
