"""GAP against bytes: mixed precisions and uniform 8 bits, on the clips of two splits."""

from collections.abc import Sequence
from typing import Any

from quantize.selection.comparison import Comparison, Point
from report.page import Chart, Element, Section, Text
from stages.packing.receipt import Receipt
from stages.report import Findings

_BEST, _UNIFORM8 = "var(--series-1{})", "var(--series-2{})"
_MEANT = {"search": "where it was chosen", "report": "where nothing was chosen"}


def curve_section(findings: Findings) -> list[Section]:
    """A curve for each split that was scored; none where nothing was packed."""
    receipt = findings.receipt
    if receipt is None or not findings.comparisons:
        return []
    elements: list[Element] = [
        Text(
            "The best bundle for every number of bytes. Its precisions are chosen by member or by "
            "tensor; uniform 8 bits have the same members to choose from. Bands are one standard "
            "error: of a GAP in the curves, and of their difference, over the same draws of the "
            "clips, in what is gained."
        )
    ]
    for split, compared in findings.comparisons.items():
        packed = receipt.gap if split == "report" else receipt.search_gap
        elements.append(_curves(split, compared, receipt, packed))
    for split, compared in findings.comparisons.items():
        elements.append(_gains(split, compared, receipt))
    return [Section("GAP against bytes", elements, "Bytes")]


def _curves(split: str, compared: Comparison, receipt: Receipt, packed: float) -> Chart:
    end = _end(compared, receipt)
    traces = [
        *_steps(compared.uniform8, end, _UNIFORM8, "uniform 8 bits"),
        *_steps(compared.best, end, _BEST, "mixed precisions"),
        {
            "type": "scatter",
            "mode": "markers",
            "name": "packed",
            "x": [receipt.bytes],
            "y": [packed],
            "marker": {
                "symbol": "circle-open",
                "size": 14,
                "color": "var(--ink)",
                "line": {"width": 2},
            },
            "hovertemplate": "packed\n%{x:,} bytes\nGAP %{y:.5f}",
        },
    ]
    layout = _layout(compared, receipt, end) | {"yaxis": {"title": {"text": f"GAP on {split}"}}}
    return Chart(f"GAP on {split}, {_MEANT[split]}", traces, layout, height=380)


def _gains(split: str, compared: Comparison, receipt: Receipt) -> Chart:
    end = _end(compared, receipt)
    traces = _steps(compared.gains, end, _BEST, "gain")
    layout = _layout(compared, receipt, end) | {
        "yaxis": {"title": {"text": "GAP"}, "zerolinecolor": "var(--series-2)"},
        "showlegend": False,
    }
    title = f"What mixed precisions gain over uniform 8 bits on {split}"
    return Chart(title, traces, layout, height=260)


def _end(compared: Comparison, receipt: Receipt) -> float:
    """Up to where the curves are drawn: they go on as they are for whoever has more room."""
    sizes = [point.bytes for point in (*compared.best, *compared.uniform8)]
    return 1.15 * max(*sizes, receipt.bytes)


def _layout(compared: Comparison, receipt: Receipt, end: float) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "xaxis": {
            "type": "log",
            "title": {"text": "bytes of the file"},
            "ticksuffix": "B",
            "dtick": "D2",
        }
    }
    if receipt.budget_bytes < 3 * end:
        line = {"color": "var(--faint)", "width": 1, "dash": "dot"}
        at = {"x0": receipt.budget_bytes, "x1": receipt.budget_bytes, "y0": 0, "y1": 1}
        layout["shapes"] = [{"type": "line", "yref": "paper", "line": line, **at}]
    return layout


def _steps(points: Sequence[Point], end: float, color: str, name: str) -> list[dict[str, Any]]:
    """A curve that rises at its points, and the band of its errors."""
    if not points:
        return []
    sizes = [*(point.bytes for point in points), end]
    kept = [*points, points[-1]]
    flat = {"type": "scatter", "mode": "lines", "line": {"shape": "hv", "width": 0}}
    band = flat | {"x": sizes, "hoverinfo": "skip", "showlegend": False}
    text = [f"{own.bytes:,} bytes: {own.gap:.5f} ± {own.error:.5f}" for own in kept]
    return [
        band | {"y": [point.gap - point.error for point in kept]},
        band
        | {
            "y": [point.gap + point.error for point in kept],
            "fill": "tonexty",
            "fillcolor": color.format(",0.16"),
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": sizes,
            "y": [point.gap for point in kept],
            "line": {"shape": "hv", "width": 2, "color": color.format("")},
            "marker": {"size": [5] * len(points) + [0], "color": color.format("")},
            "text": text,
            "hovertemplate": f"{name}\n%{{text}}",
        },
    ]
