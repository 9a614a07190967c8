"""Values: frames a clip, how the values of each stream are distributed, and a clip as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from records.schema import quantization
from records.statistics.survey import Survey
from records.statistics.values import StreamStatistics
from report.page import Chart, Column, Element, Section, Table, Text
from report.page.elements import Cell

# Bins of a chart, and the share of the values at either end that it leaves out.
_BINS, _OUTSIDE = 120, 0.0005
# Frames and values of a picture.
_MOST_FRAMES, _MOST_VALUES = 400, 128


def frames_section(survey: Survey) -> Section | None:
    """How many frames clips have."""
    if survey.schema.level != "frame":
        return None
    longest = max(int(split.frames.max(initial=0)) for split in survey.splits)
    width = max(1, -(-longest // _BINS))
    more = f" and up to {width - 1} more" if width > 1 else ""
    traces: list[dict[str, Any]] = []
    for split in survey.splits:
        clips = np.bincount(split.frames // width)
        traces.append(
            {
                "type": "bar",
                "name": split.name,
                "x": np.arange(len(clips)) * width,
                "y": clips / len(split),
                "customdata": clips,
                "hovertemplate": f"%{{x}} frames{more}: %{{y:.2%}}\n%{{customdata:,}} clips",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "frames a clip"}},
        "yaxis": {"title": {"text": "share of the split"}, "tickformat": ".1%"},
    }
    columns = [
        Column("split"),
        Column("least", "integer"),
        Column("median", "number", 1),
        Column("mean", "number", 1),
        Column("most", "integer"),
        Column("without frames", "integer"),
    ]
    rows: list[list[Cell]] = [
        [
            split.name,
            int(split.frames.min()),
            float(np.median(split.frames)),
            float(split.frames.mean()),
            int(split.frames.max()),
            int((split.frames == 0).sum()),
        ]
        for split in survey.splits
    ]
    chart = Chart("Frames a clip", traces, layout, wide=True)
    return Section("Frames", [chart, Table(columns, rows, caption="Frames a clip by split")])


def values_section(survey: Survey) -> Section:
    """By stream the distribution of its values, and mean and deviation of each number."""
    elements: list[Element] = []
    columns = [
        Column("stream"),
        Column("numbers", "integer", help="of a frame, or of a clip's mean vector"),
        *(Column(name, "number", 3) for name in ("least", "mean", "deviation", "most")),
    ]
    rows: list[list[Cell]] = []
    for name, found in survey.streams.items():
        elements += [_distribution(name, found), _by_number(name, found)]
        ends = found.least, found.mean, found.deviation, found.most
        rows.append([name, len(found.means), *ends])
    return Section("Values", [*elements, Table(columns, rows, caption="Values by stream")])


def _distribution(name: str, found: StreamStatistics) -> Chart:
    """Shares of the values by bins that all but the rarest values lie in."""
    counts, edges = found.counts, found.edges
    passed = np.cumsum(counts) / max(1, counts.sum())
    first = int(np.searchsorted(passed, _OUTSIDE))
    last = min(int(np.searchsorted(passed, 1 - _OUTSIDE)) + 1, len(counts))
    # Bins of bytes hold one value each; others are taken together until there are few enough.
    together = max(1, (last - first) // _BINS) if len(counts) > 256 else 1
    starts = np.arange(first, last, together)
    shares = np.add.reduceat(counts[:last], starts) / max(1, counts.sum())
    ends = edges[np.minimum(starts + together, last)]
    bars = {
        "type": "bar",
        "x": (edges[starts] + ends) / 2,
        "y": shares,
        "width": ends - edges[starts],
        "marker": {"line": {"width": 0}},
        "hovertemplate": "about %{x:.3f}: %{y:.2%}",
    }
    layout = {
        "xaxis": {"title": {"text": "value"}},
        "yaxis": {"title": {"text": "share of the values"}, "tickformat": ".1%"},
        "bargap": 0,
    }
    beyond = 1 - float(shares.sum())
    outside = f", without the outermost {beyond:.2%}" if beyond > 1e-6 else ""
    return Chart(f"Values of {name}{outside}", [bars], layout)


def _by_number(name: str, found: StreamStatistics) -> Chart:
    """Mean and deviation of each number of the stream."""
    numbers = np.arange(len(found.means))
    line: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": numbers}
    traces = [
        line | {"name": "deviation", "y": found.deviations, "line": {"width": 1}},
        line | {"name": "mean", "y": found.means, "line": {"width": 1}},
    ]
    layout = {"xaxis": {"title": {"text": f"number of the value in {name}"}}}
    return Chart(f"Mean and deviation of each number of {name}", traces, layout)


def picture_section(survey: Survey) -> Section | None:
    """A clip, frame by frame: of audio it is a spectrogram."""
    clip, schema = survey.pictured, survey.schema
    if clip is None:
        return None
    step, offset = quantization(schema.quantized_min, schema.quantized_max)
    elements: list[Element] = [Text(f"Clip {clip.id}: time runs to the right.")]
    for stream in schema.streams:
        values = clip.features[stream.name][:_MOST_FRAMES, :_MOST_VALUES]
        shown = values * step + offset if stream.encoding == "uint8" else values
        heat = {
            "type": "heatmap",
            "z": np.round(shown.T.astype(np.float64), 2),
            "colorscale": "Viridis",
            "hovertemplate": "frame %{x}, value %{y}: %{z:.2f}",
        }
        layout = {"xaxis": {"title": {"text": "frame"}}, "yaxis": {"title": {"text": "value"}}}
        of = f", the first {_MOST_VALUES} of {stream.size}" if stream.size > _MOST_VALUES else ""
        caption = f"{stream.name}: {values.shape[0]} frames of {values.shape[1]} values{of}"
        elements.append(Chart(caption, [heat], layout, height=420, wide=True))
    return Section("A clip as a picture", elements, "Picture")
