"""What the result is good at and what it is not: labels, clips, and members side by side."""

import math
from typing import Any

import numpy as np

from report.page import Chart, Column, Element, Facts, Section, Table, Text
from report.run.numbers import label_name
from stages.findings.evidence import Evidence, WrongClip
from stages.report import Findings

# A point for each label would be more than a chart can show of as many.
_POINTS = 4000


def label_section(findings: Findings) -> list[Section]:
    """A row for each label that a clip of `report` has."""
    evidence, schema = findings.evidence, findings.schema
    if evidence is None:
        return []
    found = evidence.by_label
    names = [label_name(schema, label) for label in range(len(found.clips))]
    verticals = schema.vertical_names
    rows: list[list[Any]] = []
    for label in np.flatnonzero(found.clips).tolist():
        confused = zip(
            found.confused[label].tolist(), found.confusions[label].tolist(), strict=True
        )
        row = [
            names[label],
            label,
            int(found.clips[label]),
            float(found.average_precision[label]),
            _number(found.precision[label]),
            _number(found.recall[label]),
            ", ".join(f"{names[other]} ({count})" for other, count in confused if other >= 0),
        ]
        if verticals:
            row.insert(2, ", ".join(verticals[own] for own in schema.label_verticals[label]))
        rows.append(row)
    columns = [
        Column("label"),
        Column("number", "integer"),
        Column("clips", "integer", help="of report, that have the label"),
        Column("AP", "number", 3, "average precision over all clips of report"),
        Column("precision", "number", 3, "at the threshold with the best F1"),
        Column("recall", "number", 3, "there"),
        Column("confused with", help="wrong labels that stand above it, in how many clips"),
    ]
    if verticals:
        columns.insert(2, Column("verticals"))
    none = int((found.clips == 0).sum())
    without = f" {none:,} labels have no clip in report, and no row." if none else ""
    bound = " Labels that are not stored of a clip count as not found: AP is a lower bound."
    clips = columns.index(next(own for own in columns if own.title == "clips"))
    said = f"Of {evidence.subject}, on {evidence.clips:,} clips of report.{without}{bound}"
    table = Table(columns, rows, (clips, "descending"), "Scores by label")
    return [Section("Labels", [Text(said), table, *_frequencies(evidence, names)])]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _frequencies(evidence: Evidence, names: list[str]) -> list[Element]:
    found = evidence.by_label
    shown = np.flatnonzero(found.clips)
    shown = shown[np.argsort(-found.clips[shown], kind="stable")][:_POINTS]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": found.clips[shown],
        "y": found.average_precision[shown],
        "text": [names[label] for label in shown],
        "marker": {"size": 5, "opacity": 0.45, "color": "var(--series-1)"},
        "hovertemplate": "%{text}\n%{x:,} clips\nAP %{y:.3f}",
    }
    layout = {
        "xaxis": {"type": "log", "title": {"text": "clips of report that have the label"}},
        "yaxis": {"title": {"text": "AP"}, "range": [-0.03, 1.03]},
    }
    return [
        Chart("Average precision by how frequent a label is", [trace], layout),
        *_hist(found.average_precision[shown]),
    ]


def _hist(precisions: np.ndarray) -> list[Element]:
    counts, edges = np.histogram(precisions, bins=20, range=(0, 1))
    trace = {
        "type": "bar",
        "x": (edges[1:] + edges[:-1]) / 2,
        "y": counts,
        "width": 0.045,
        "marker": {"color": "var(--series-1)"},
        "hovertemplate": "AP about %{x:.3f}\n%{y:,} labels",
    }
    layout = {"xaxis": {"title": {"text": "AP"}}, "yaxis": {"title": {"text": "labels"}}}
    return [Chart("Labels by their average precision", [trace], layout)]


def clip_section(findings: Findings) -> list[Section]:
    """The clips whose labels the result thinks least likely."""
    evidence = findings.evidence
    if evidence is None or not evidence.worst:
        return []
    columns = [
        Column("clip"),
        Column("cross-entropy", "number", 2, "of its labels, in nats"),
        Column("AP@20", "number", 3, "of its 20 best labels"),
        Column("its labels", help="with the probability that each was given"),
        Column("what it said", help="the labels that were given the greatest probability"),
    ]
    rows = [_clip_row(findings, clip) for clip in evidence.worst]
    said = (
        f"The {len(rows)} clips of report whose labels surprise {evidence.subject} most. Some of "
        "them may be labeled wrongly."
    )
    table = Table(columns, rows, (1, "descending"), "Clips that it gets most wrong")
    return [Section("Clips", [Text(said), table])]


def _clip_row(findings: Findings, clip: WrongClip) -> list[Any]:
    def named(label: int, probability: float | None) -> str:
        share = "not listed" if probability is None else f"{probability:.3f}"
        return f"{label_name(findings.schema, label)} ({share})"

    labels, said = (", ".join(named(*own) for own in pairs) for pairs in (clip.labels, clip.said))
    return [clip.id, clip.cross_entropy, clip.average_precision, labels, said]


def together_section(findings: Findings) -> list[Section]:
    """How alike the members are, and whether probabilities are what they say."""
    evidence = findings.evidence
    if evidence is None:
        return []
    elements: list[Element] = [*_correlations(evidence), _reliability(evidence)]
    error = f"{evidence.calibration.error:.4f}"
    elements.append(Facts({"expected calibration error, over the labels that are stored": error}))
    return [Section("Correlation and calibration", elements, "Correlation")]


def _correlations(evidence: Evidence) -> list[Element]:
    if evidence.correlations is None:
        return []
    names = list(evidence.weights)
    places = list(range(len(names)))
    pairs = [[f"{one} and {other}" for other in names] for one in names]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": places,
        "y": places,
        "z": evidence.correlations,
        "text": pairs,
        "hovertemplate": "%{text}\n%{z:.3f}",
    }
    # Between equals there is nothing to see: the scale is that of the others.
    apart = evidence.correlations[~np.eye(len(names), dtype=bool)]
    trace |= {"zmin": float(np.nanmin(apart)), "zmax": float(np.nanmax(apart))}
    axis = {"tickvals": places, "ticktext": names, "showgrid": False}
    layout = {"xaxis": axis, "yaxis": axis | {"autorange": "reversed"}}
    title = "Correlation of the members' errors, over the result's 20 best labels of each clip"
    return [Chart(title, [trace], layout, height=max(360, min(900, 160 + 22 * len(names))))]


def _reliability(evidence: Evidence) -> Chart:
    found = evidence.calibration
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, 1],
            "y": [0, 1],
            "name": "perfect",
            "line": {"color": "var(--faint)", "width": 1, "dash": "dot"},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": found.said,
            "y": found.true,
            "name": evidence.subject,
            "text": [f"{count:,} labels" for count in found.count.tolist()],
            "line": {"color": "var(--series-1)"},
            "hovertemplate": "said %{x:.3f}\ntrue %{y:.3f}\n%{text}",
        },
    ]
    layout = {
        "xaxis": {"title": {"text": "probability that is said"}, "range": [-0.02, 1.02]},
        "yaxis": {"title": {"text": "share that is true"}, "range": [-0.02, 1.02]},
    }
    return Chart("Calibration on report", traces, layout, height=360)
