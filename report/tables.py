"""What a person reads at the end of a stage: tables of at most 80 columns on standard output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from common.files import atomic_path
from common.units import format_bytes
from ensemble.choice import Choice
from ensemble.combination import Combination
from metrics import StreamingScores
from report.curve import PICTURE_NAME, write_curve
from runs import Predictions, Task
from stages.jobs import predictions_name
from stages.pack import RECEIPT_NAME, Packed
from stages.submission import BUNDLE_FOLDER, BUNDLE_NAME
from stages.workspace import Workspace

MEMBERS_NAME = "members.csv"
TEACHERS_NAME = "teachers.csv"


def print_plan(plan: Mapping[str, Any]) -> None:
    """Members with their sizes, and the sum against the budget."""
    rows = [
        (m["name"], m["family"], f"{m['parameters']:,}", f"{m['bytes']:,}") for m in plan["members"]
    ]
    _print(["member", "family", "parameters", "bytes at 8 bits"], rows)
    print(f"sum {plan['bytes']:,} of {plan['budget_bytes']:,} bytes")


def print_teachers(workspace: Workspace, teachers: Mapping[str, Task]) -> None:
    """Every teacher's size, scores on `report`, and what its training took.

    The figures also go to `teachers.csv` in the run's folder, unrounded.
    """
    table = teachers_table(workspace, teachers)
    _write_table(table, workspace.run.root / TEACHERS_NAME)
    formats = {
        "params": _count,
        "GAP": "{:.4f}".format,
        "MAP@10": "{:.4f}".format,
        "MAP": "{:.4f}".format,
        "clips/s": "{:.0f}".format,
        "seconds": "{:.0f}".format,
        "memory": lambda value: f"{value / 1e6:.0f}MB",
    }
    _print_frame(table.drop(columns="bytes"), formats)


def teachers_table(workspace: Workspace, teachers: Mapping[str, Task]) -> pd.DataFrame:
    """A row a teacher; MAP is of the labels that its predictions store."""
    labels = workspace.labels("report")
    rows = []
    for name, task in teachers.items():
        summary = task.summary()
        predictions = Predictions.load(task.folder / predictions_name("report"))
        scores = StreamingScores(labels.num_labels)
        scores.update((predictions.labels, predictions.log_odds), labels)
        figures = scores.compute()
        rows.append(
            {
                "member": name,
                "family": summary["family"],
                "params": summary["parameters"],
                "bytes": summary["bytes"],
                "GAP": figures["gap"],
                "MAP@10": figures["map_at_10"],
                "MAP": figures["map"],
                "clips/s": summary["clips_per_second"],
                "seconds": summary["training_seconds"],
                "memory": summary["peak_memory"],
            }
        )
    return pd.DataFrame(rows)


def print_choice(choice: Choice) -> None:
    """What stage `ensemble` chose, and what it scores."""
    for family, best in choice.families.items():
        print(
            f"teacher {family}: {', '.join(best.members)} (search GAP {best.gap:.5f}"
            f"{_proof(best.exact)}, best of {_extent(best)})"
        )
    _print(["member", "weight"], [(n, f"{w:.4f}") for n, w in choice.weights.items()])
    for split, scores in (("search", choice.search), ("report", choice.report)):
        print(
            f"GAP on {split}: searched {scores.gap:.5f}{_proof(scores.exact)}, "
            f"flat {scores.flat_gap:.5f}{_proof(scores.flat_exact)}"
        )


def _extent(best: Combination) -> str:
    if best.exhaustive:
        return f"{best.scored:,}"
    return f"{best.scored:,}, grown from the best smaller ones"


def print_scores(scores: Mapping[str, Any]) -> None:
    """Scores by name, with the digits to hold a bundle to what its curve promised."""
    for name, value in scores.items():
        print(f"{name:<12}{value:.7f}" if isinstance(value, float) else f"{name:<12}{value}")


def print_table(workspace: Workspace, teachers: Mapping[str, Task], packed: Packed) -> None:
    """The end of a run: every student from teacher to 8 bits, and the file that came of them.

    The members' figures also go to `members.csv` in the run's folder, unrounded, and beside it
    what `write_curve` writes.
    """
    receipt = packed.receipt
    write_curve(workspace.run.root, packed)
    table = members_table(workspace, teachers, receipt)
    _write_table(table, workspace.run.root / MEMBERS_NAME)
    formats: dict[str, Callable[[Any], str]] = {
        "bytes": format_bytes,
        "weight": _weight,
        "stored as": _short,
    }
    # Without weight averaging its column is empty, and a terminal has 80 columns.
    _print_frame(table.drop(columns="params").dropna(axis="columns", how="all"), formats)
    print(
        f"GAP on report: {receipt['gap']:.5f}, float32 {receipt['gap_float']:.5f}; "
        f"MAP@10 {receipt['map_at_10']:.5f}, MAP {receipt['map']:.5f}"
    )
    for one in receipt["uniform8"]:
        print(
            f"  all at 8 bits {receipt['uniform8_gap']:.5f} in {one['bytes']:,} bytes, "
            f"as a flat mean {receipt['flat_gap']:.5f}"
        )
    share = receipt["bytes"] / receipt["budget_bytes"]
    print(f"bytes {receipt['bytes']:,} of {receipt['budget_bytes']:,} ({share:.1%})")
    print(f"curve       {workspace.run.root / PICTURE_NAME}")
    folder = workspace.run.root / BUNDLE_FOLDER
    print(f"bundle      {folder / BUNDLE_NAME}\nreceipt     {folder / RECEIPT_NAME}")


def members_table(
    workspace: Workspace, teachers: Mapping[str, Task], receipt: Mapping[str, Any]
) -> pd.DataFrame:
    """A row a student: size, and GAP on `report` at each step from its teacher twin to 8 bits."""
    told = {member["name"]: member for member in [*receipt["members"], *receipt["left_out"]]}
    rows = []
    for name, student in workspace.config.students.items():
        teacher, member = teachers[student.member].summary(), told[name]
        rows.append(
            {
                "member": name,
                "family": member["family"],
                "params": teacher["parameters"],
                "bytes": member["bytes"],
                "teacher": teacher["gap_report_main"],
                "averaged": teacher.get("gap_report_average"),
                "student": member["gap_float"],
                "8 bits": member["gap"],
                "stored as": member["precision"] if member["weight"] else "",
                "weight": member["weight"],
            }
        )
    return pd.DataFrame(rows)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as beside:
        table.to_csv(beside, index=False)


def _print_frame(table: pd.DataFrame, formats: Mapping[str, Callable[[Any], str]]) -> None:
    """Prints a table, each column in its format or as `_text` has it."""
    columns = [
        [formats.get(str(name), _text)(value) for value in column] for name, column in table.items()
    ]
    _print(list(map(str, table.columns)), list(zip(*columns, strict=True)))


def _print(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column, name in enumerate(header):
        text = column < 2 and not name.startswith("weight")
        table.add_column(name, justify="left" if text else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # A pipe has no width; a table that wraps cannot be read or parsed.
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    console.print(table)


def _text(value: Any) -> str:
    """A name as it is, a score with five digits, a missing one as a dash."""
    if isinstance(value, str):
        return value
    return "-" if value is None or value != value else f"{value:.5f}"


def _count(value: int) -> str:
    return f"{value / 1e6:.2f}M" if value >= 10_000 else str(value)


def _short(recipe: str) -> str:
    """A recipe's name, or how that of its group apart begins; a dash for a member left out."""
    whole, _, apart = recipe.partition("+")
    return f"8+{apart[:4]}" if apart else whole or "-"


def _weight(value: float) -> str:
    return f"{value:.3f}" if value > 0 else "out"


def _proof(exact: bool) -> str:
    return "" if exact else " (not proven exact)"
