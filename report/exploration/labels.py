"""Labels: how many a clip has, how frequent they are, which come together, where they lack."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from records.schema import Schema
from records.statistics.labels import (
    frequencies,
    given,
    labels_a_clip,
    lacking,
    together,
    verticals_of,
)
from records.statistics.survey import SplitSurvey, Survey
from report.page import Chart, Column, Element, Section, Table, Text
from report.page.elements import Cell

# Points of a curve over all labels.
_POINTS = 400
# Labels of the picture of those that come together, and clips that a pair needs for the table.
_PICTURED, _LEAST_CLIPS = 30, 5
_PAIRS = 500
# Letters of a name beside the picture.
_LONGEST = 18


def label_name(schema: Schema, label: int) -> str:
    """A label's name, or its number where it has none."""
    return schema.label_names[label] if schema.label_names else str(label)


def labeled(survey: Survey) -> list[SplitSurvey]:
    """The splits that have labels."""
    return [split for split in survey.splits if len(split.truth.columns)]


def labels_section(survey: Survey) -> Section | None:
    """How many labels clips have, and how many clips labels have; verticals."""
    splits = labeled(survey)
    if not splits:
        return None
    counts = {split.name: frequencies(split.truth, survey.schema.num_labels) for split in splits}
    elements: list[Element] = [_labels_a_clip(splits), _by_rank(counts)]
    if survey.schema.vertical_names:
        elements += _verticals(survey.schema, splits)
    elements.append(_labels_table(survey.schema, counts))
    return Section("Labels", elements)


def _labels_a_clip(splits: list[SplitSurvey]) -> Chart:
    traces = []
    for split in splits:
        clips = np.bincount(labels_a_clip(split.truth))
        traces.append(
            {
                "type": "bar",
                "name": split.name,
                "x": np.arange(len(clips)),
                "y": clips / len(split),
                "customdata": clips,
                "hovertemplate": "%{x} labels: %{y:.2%}\n%{customdata:,} clips",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "labels a clip"}},
        "yaxis": {"title": {"text": "share of the split"}, "tickformat": ".0%"},
    }
    return Chart("Labels a clip", traces, layout)


def _by_rank(counts: dict[str, NDArray[np.int64]]) -> Chart:
    """Clips of each label, the most frequent first, on logarithmic axes."""
    traces = []
    for name, own in counts.items():
        ordered = np.sort(own[own > 0])[::-1]
        ranks = np.unique(np.geomspace(1, len(ordered), _POINTS).round().astype(np.int64))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": ranks,
                "y": ordered[ranks - 1],
                "hovertemplate": "label number %{x:,}\n%{y:,} clips",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "labels, the most frequent first"}, "type": "log"},
        "yaxis": {"title": {"text": "clips with the label"}, "type": "log"},
    }
    return Chart("Clips a label", traces, layout)


def _verticals(schema: Schema, splits: list[SplitSurvey]) -> list[Element]:
    """How many labels each has, and which share of the clips."""
    clips = np.sum([verticals_of(split.truth, schema) for split in splits], axis=0)
    labels = np.bincount(
        [vertical for own in schema.label_verticals for vertical in set(own)],
        minlength=len(schema.vertical_names),
    )
    order = np.argsort(clips, kind="stable")
    total = sum(map(len, splits))
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": clips[order] / total,
        "y": [schema.vertical_names[place] for place in order],
        "customdata": np.stack([clips[order], labels[order]], axis=1),
        "hovertemplate": "%{y}: %{x:.1%}\n%{customdata[0]:,} clips, %{customdata[1]:,} labels",
    }
    layout = {
        "xaxis": {"title": {"text": "share of the clips"}, "tickformat": ".0%"},
        "yaxis": {"type": "category", "dtick": 1},
    }
    columns = [Column("vertical"), Column("labels", "integer"), Column("clips", "integer")]
    rows: list[list[Cell]] = [
        [name, int(own), int(count)]
        for name, own, count in zip(schema.vertical_names, labels, clips, strict=True)
    ]
    height = 120 + 20 * len(order)
    return [
        Chart("Clips with a label of each vertical", [bars], layout, height, wide=True),
        Table(columns, rows, (2, "descending"), "Verticals"),
    ]


def _labels_table(schema: Schema, counts: dict[str, NDArray[np.int64]]) -> Table:
    total = np.sum(list(counts.values()), axis=0)
    columns = [Column("label"), Column("number", "integer")]
    if schema.vertical_names:
        columns.append(Column("verticals"))
    columns += [Column("clips", "integer"), *(Column(name, "integer") for name in counts)]
    rows: list[list[Cell]] = []
    for label in range(schema.num_labels):
        row: list[Cell] = [label_name(schema, label), label]
        if schema.vertical_names:
            own = schema.label_verticals[label]
            row.append(", ".join(dict.fromkeys(schema.vertical_names[place] for place in own)))
        rows.append([*row, int(total[label]), *(int(own[label]) for own in counts.values())])
    by = [column.title for column in columns].index("clips")
    return Table(columns, rows, (by, "descending"), "All labels")


def together_section(survey: Survey) -> Section | None:
    """P(A given B): a picture of the most frequent labels, and a table of the closest pairs."""
    splits, schema = labeled(survey), survey.schema
    if not splits:
        return None
    counts = together([split.truth for split in splits], schema.num_labels)
    shares, clips = given(counts), counts.diagonal()
    frequent = np.argsort(-clips, kind="stable")[:_PICTURED]
    frequent = frequent[clips[frequent] > 0]
    names = _distinct(schema, frequent)
    z = shares[frequent][:, frequent].toarray()
    # That of a label given itself says nothing.
    np.fill_diagonal(z, np.nan)
    heat = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": z.round(4),
        "hovertemplate": "A: %{y}\nB: %{x}\n%{z:.1%}",
        "hoverongaps": False,
        "colorbar": {"tickformat": ".0%"},
    }
    # Across, where the page is narrow, not every name has room.
    across = {"type": "category", "title": {"text": "B"}, "tickangle": -90}
    down = {"type": "category", "title": {"text": "A"}, "autorange": "reversed", "dtick": 1}
    caption = f"P(A given B), the {len(names)} most frequent labels"
    note = Text("Of the clips that have label B, the share that has label A as well.")
    chart = Chart(caption, [heat], {"xaxis": across, "yaxis": down}, height=700, wide=True)
    elements: list[Element] = [note, chart, _pairs(schema, counts, shares, len(survey))]
    return Section("Labels together", elements)


def _distinct(schema: Schema, labels: NDArray[np.int64]) -> list[str]:
    """Names for an axis: short ones, of which two that were the same would be one."""
    names = [label_name(schema, label) for label in labels]
    names = [f"{own[:_LONGEST]}…" if len(own) > _LONGEST + 1 else own for own in names]
    return [
        f"{name} ({label})" if names.count(name) > 1 else name
        for name, label in zip(names, labels.tolist(), strict=True)
    ]


def _pairs(schema: Schema, counts: sparse.csr_array, shares: sparse.csr_array, total: int) -> Table:
    """The pairs of labels with the highest P(A given B)."""
    clips = counts.diagonal()
    entries = shares.tocoo()
    a, b = entries.coords
    both = np.asarray(counts[a, b])
    kept = np.flatnonzero((a != b) & (both >= _LEAST_CLIPS))
    order = kept[np.lexsort((b[kept], a[kept], -both[kept], -entries.data[kept]))][:_PAIRS]
    columns = [
        Column("B"),
        Column("A"),
        Column("P(A given B)", "percent", 1),
        Column("clips with both", "integer"),
        Column("clips with B", "integer"),
        Column("lift", "number", 1, help="P(A given B) over P(A)"),
    ]
    rows: list[list[Cell]] = [
        [
            label_name(schema, b[place]),
            label_name(schema, a[place]),
            float(entries.data[place]),
            int(both[place]),
            int(clips[b[place]]),
            float(entries.data[place] * total / clips[a[place]]),
        ]
        for place in order.tolist()
    ]
    caption = f"The labels that most often come with another, of at least {_LEAST_CLIPS} clips"
    return Table(columns, rows, None, caption)


def lacking_section(survey: Survey) -> Section | None:
    """Labels that a split has not and another one has."""
    splits, schema = labeled(survey), survey.schema
    if not splits:
        return None
    counts = {split.name: frequencies(split.truth, schema.num_labels) for split in splits}
    total = np.sum(list(counts.values()), axis=0)
    lacked = {name: set(own.tolist()) for name, own in lacking(counts).items()}
    nowhere = int((total == 0).sum())
    said = [f"{name} lacks {len(own):,}" for name, own in lacked.items()]
    note = f"Of {schema.num_labels:,} labels {nowhere:,} are in no split. Of the others"
    columns = [Column("label"), Column("clips", "integer"), Column("lacking in"), Column("is in")]
    rows: list[list[Cell]] = []
    for label in sorted(set().union(*lacked.values())):
        without = [name for name, own in lacked.items() if label in own]
        where = [f"{name} {own[label]:,}" for name, own in counts.items() if own[label]]
        name = label_name(schema, label)
        rows.append([name, int(total[label]), ", ".join(without), ", ".join(where)])
    elements: list[Element] = [Text(f"{note}, {', '.join(said)}.")]
    if rows:
        elements.append(Table(columns, rows, (1, "descending"), "Labels that a split lacks"))
    return Section("Labels that a split lacks", elements, "Lacking")
