"""A page as one file of HTML."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from common.files import write_bytes
from report.page.elements import Chart, Page, Table
from report.page.embed import chart_values, json_text, packed, plain, policy, visible

_FOLDER = Path(__file__).resolve().parent / "templates"


def write_page(path: Path, page: Page) -> None:
    """Writes a page to `path`, atomically; the same page gives the same bytes."""
    write_bytes(path, render_page(page).encode())


def render_page(page: Page) -> str:
    """The page as HTML."""
    script, style = (_FOLDER.joinpath(name).read_text() for name in ("page.js", "page.css"))
    elements = [element for section in page.sections for element in section.elements]
    charted = any(isinstance(element, Chart) for element in elements)
    library = _plotly() if charted else ""
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            script=Markup(script),
            style=Markup(style),
            policy=policy([script, library] if charted else [script]),
            library=_packed_plotly() if charted else "",
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: (
            visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
    )
    environment.filters["values"] = _values
    return environment


def _values(element: Table | Chart) -> Markup:
    """What the page's script is given of an element."""
    if isinstance(element, Chart):
        return json_text(chart_values(plain(vars(element))))
    table: dict[str, Any] = {"columns": [vars(column) for column in element.columns]}
    return json_text(plain(table | {"rows": element.rows, "order": element.order}))


def _plotly() -> str:
    # Here, and not above: most commands write no page.
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@cache
def _packed_plotly() -> str:
    return packed(_plotly())
