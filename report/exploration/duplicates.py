"""Clips that are there more than once, or nearly so."""

from __future__ import annotations

import numpy as np

from records.statistics.survey import NEAR, Survey
from report.exploration.labels import label_name
from report.page import Column, Element, Section, Table, Text
from report.page.elements import Cell

_MOST_IDS = 500


def duplicates_section(survey: Survey) -> Section:
    """Ids that are there twice; clips that are near one of each split, and the nearest pairs."""
    elements: list[Element] = []
    if survey.shared:
        elements.append(_shared_table(survey))
    else:
        elements.append(Text("Every id is there once, in all splits together."))
    compared = f"{len(survey):,} clips"
    if len(survey.compared) < len(survey):
        compared = f"{len(survey.compared):,} of {compared}, evenly spaced"
    elements.append(
        Text(
            f"Near duplicates are clips whose mean vectors, off the mean of all, have a cosine of "
            f"at least {NEAR}; each stream counts as much as any other. Of {compared}, "
            f"{survey.near.count:,} pairs are."
        )
    )
    if survey.near.count:
        elements += [_by_split(survey), _pairs(survey)]
    return Section("Duplicates", elements)


def _shared_table(survey: Survey) -> Table:
    columns = [Column("id"), *(Column(split.name, "integer") for split in survey.splits)]
    some = list(survey.shared.items())[:_MOST_IDS]
    names = [split.name for split in survey.splits]
    rows: list[list[Cell]] = [[own, *(where.get(name) for name in names)] for own, where in some]
    count = f"{len(survey.shared):,} ids that are there more than once"
    return Table(
        columns, rows, None, count if len(rows) == len(survey.shared) else f"{len(rows)} of {count}"
    )


def _by_split(survey: Survey) -> Table:
    names = [split.name for split in survey.splits]
    columns = [Column("clips of"), *(Column(f"near one of {name}", "integer") for name in names)]
    rows: list[list[Cell]] = [
        [name, *own] for name, own in zip(names, survey.near.clips.tolist(), strict=True)
    ]
    return Table(columns, rows, None, "Near duplicates by split")


def _pairs(survey: Survey) -> Table:
    ends = np.cumsum([len(split) for split in survey.splits])

    def clip(row: int) -> tuple[str, str, set[int]]:
        """Its id, its split and its labels."""
        place = int(np.searchsorted(ends, row, side="right"))
        split = survey.splits[place]
        own = row - int(ends[place]) + len(split)
        first, last = split.truth.offsets[own : own + 2]
        return str(split.truth.ids[own]), split.name, set(split.truth.columns[first:last].tolist())

    def names(labels: set[int]) -> str:
        return ", ".join(label_name(survey.schema, label) for label in sorted(labels))

    columns = [
        Column("clip"),
        Column("in"),
        Column("and clip"),
        Column("in"),
        Column("cosine", "number", 4),
        Column("labels of both"),
        Column("of the first only"),
        Column("of the second only"),
    ]
    rows: list[list[Cell]] = []
    for pair, cosine in zip(survey.near.pairs, survey.near.likeness.tolist(), strict=True):
        (one, where, labels), (other, there, others) = map(clip, survey.compared[pair].tolist())
        lists = names(labels & others), names(labels - others), names(others - labels)
        rows.append([one, where, other, there, cosine, *lists])
    shown = f"The {len(rows):,} nearest pairs" if len(rows) < survey.near.count else "All pairs"
    return Table(columns, rows, None, shown)
