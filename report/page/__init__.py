"""Pages of HTML that stand alone: one file with its tables and charts, and no network.

A page is sections of elements, all frozen dataclasses of plain values:

    from report.page import Chart, Code, Column, Facts, Page, Section, Table, Text, write_page

    table = Table(
        [Column("label"), Column("clips", "integer"), Column("AP", "number", digits=3)],
        [["cat", 120, 0.61], ["dog", 80, None]],
        order=(1, "descending"),
    )
    chart = Chart(
        "Clips by number of labels",
        [{"type": "bar", "x": [1, 2, 3], "y": [40, 30, 9], "marker": {"color": "var(--series-1)"}}],
        {"xaxis": {"title": {"text": "labels"}}, "yaxis": {"title": {"text": "clips"}}},
    )
    sections = [Section("Labels", [Text("What the clips are labeled with."), table, chart])]
    write_page(path, Page("Data of demo", "3,000 clips", sections))

Tables are sorted by a click on a column's name, and from twelve rows on can be searched and are
shown a page at a time, so that thousands of rows cost little. A cell is text, a number, or None.

Charts are Plotly's, as plain dictionaries of its traces and its layout. Colors are named as
`var(--series-1)` to `var(--series-8)`, `var(--ink)`, `var(--faint)`, `var(--line)`, with an opacity
as `var(--series-1,0.2)`, and change with light and dark; fonts, grids and margins need not be said.
Lists may be NumPy arrays. A line break in a `hovertemplate` is a newline.

No string needs care: whatever comes from data is escaped where it is laid into the page. Plotly
takes a part of HTML in its texts for markup, so nothing in a chart can be. Besides, the page
forbids the browser every script but its own, and every address.
"""

from report.page.elements import Chart, Code, Column, Element, Facts, Page, Section, Table, Text
from report.page.render import render_page, write_page

__all__ = [
    "Chart",
    "Code",
    "Column",
    "Element",
    "Facts",
    "Page",
    "Section",
    "Table",
    "Text",
    "render_page",
    "write_page",
]
