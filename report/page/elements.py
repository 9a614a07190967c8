"""What a page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Kind = Literal["text", "number", "integer", "bytes", "percent"]
Cell = str | float | int | None


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    template: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Code:
    """Lines as they are: a command, a receipt."""

    template: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Facts:
    """A few values by name, side by side; `large` are those that a reader comes for."""

    template: ClassVar[str] = "facts"
    values: Mapping[str, str]
    large: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its name.
        kind: What its cells are; all but text stand at the right.
        digits: Of a `number` or `percent`, those behind the point.
        help: What is meant, where the name does not say it.
    """

    title: str
    kind: Kind = "text"
    digits: int = 4
    help: str = ""


@dataclass(frozen=True)
class Table:
    """A table, sorted by a click on the name of a column.

    Attributes:
        columns: The first one stays in sight where the table is wider than the page.
        rows: A cell for every column; None is shown as a dash and is last in every order.
        order: The column, by number, by which it is sorted at first; None: as it is given.
        caption: What stands above it.
    """

    template: ClassVar[str] = "table"
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    order: tuple[int, Literal["ascending", "descending"]] | None = None
    caption: str = ""

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows}
        if widths - {len(self.columns)}:
            raise ValueError(f"rows of {widths} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Chart:
    """A chart of Plotly's.

    Attributes:
        caption: What it shows, above it.
        traces: Plotly's.
        layout: Plotly's; what is left out is the page's own.
        height: Pixels.
        wide: Whether it takes the width of two.
    """

    template: ClassVar[str] = "chart"
    caption: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    height: int = 340
    wide: bool = False


Element = Text | Code | Facts | Table | Chart


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading; `short` is what the list of contents calls it."""

    title: str
    elements: Sequence[Element]
    short: str = ""


@dataclass(frozen=True)
class Page:
    """A page: its title, a line beneath it, and its parts. Notices stand in front of all."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    notices: Sequence[str] = ()
