"""Tables: of at most 80 columns on standard output, unrounded in CSV files."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from common.files import atomic_path

# A row has its values by the names of the columns; all rows have the same columns.
Row = Mapping[str, Any]
Format = Callable[[Any], str]


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Writes a CSV file, atomically; lists stand in a cell with spaces between."""
    with atomic_path(path) as beside, beside.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow(
                " ".join(map(str, value)) if isinstance(value, list) else value
                for value in row.values()
            )


def print_table(
    rows: Sequence[Row], formats: Mapping[str, Format], without: Sequence[str] = ()
) -> None:
    """Prints a table, each column in its format or as `text` has it.

    Args:
        rows: all of it.
        formats: by column.
        without: columns to leave out. One that is empty throughout is left out as well: a terminal
            has 80 columns. Where it has fewer, the table is printed in parts, each with the first
            column.
    """
    filled = {name for row in rows for name, value in row.items() if value is not None}
    shown = [name for name in rows[0] if name in filled.difference(without)]
    cells = {name: [formats.get(name, text)(row[name]) for row in rows] for name in shown}
    console = Console(highlight=False)
    # A pipe has no width; a table that wraps cannot be read or parsed.
    if not console.is_terminal:
        console.width = 200
    left = set(shown[:2]) - {"weight"}
    for number, part in enumerate(_parts(cells, console.width)):
        if number:
            console.print()
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for name in part:
            table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
        for row in zip(*(cells[name] for name in part), strict=True):
            table.add_row(*row)
        console.print(table)


def _parts(cells: Mapping[str, Sequence[str]], width: int) -> list[list[str]]:
    """The columns of each part of a table, with the first of all in each; no wider than `width`."""
    widths = {name: max(map(cell_len, (name, *own))) + 1 for name, own in cells.items()}
    first, *others = cells
    parts = [[first]]
    for name in others:
        # The last column has no space behind it.
        if len(parts[-1]) > 1 and sum(widths[own] for own in (*parts[-1], name)) - 1 > width:
            parts.append([first])
        parts[-1].append(name)
    return parts


def text(value: Any) -> str:
    """A name as it is, a score with five digits, a missing one as a dash."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.5f}"


def parameter_count(value: int) -> str:
    """Such as 1.57M."""
    return f"{value / 1e6:.2f}M" if value >= 10_000 else str(value)


def recipe_name(recipe: str) -> str:
    """A recipe's name, or how that of its group apart begins; a dash for a member left out."""
    whole, _, apart = recipe.partition("+")
    return f"8+{apart[:4]}" if apart else whole or "-"


def weight(value: float) -> str:
    """A weight, or that there is none."""
    return f"{value:.3f}" if value > 0 else "out"
