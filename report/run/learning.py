"""How the models learned: GAP on `search` where it was scored, otherwise the loss."""

from collections.abc import Mapping
from typing import Any

from report.page import Chart, Element, Section
from stages.findings.models import Model
from stages.report import Findings

# Of all lines of a chart together, and of one: more are drawn slowly, and show no more.
_POINTS, _MOST_POINTS = 5000, 200
# More names than these would fill the chart; they still show under the pointer.
_NAMED = 12


def learning_section(findings: Findings) -> list[Section]:
    elements: list[Element] = []
    for title, models in (("Teachers", findings.teachers), ("Students", findings.distilled)):
        scored = {name: own for name, own in models.items() if own.curves.searched}
        if scored:
            elements.append(_chart(f"{title}: GAP on search by step", scored, "GAP on search"))
        logged = {name: own for name, own in models.items() if own.curves.steps}
        if logged:
            elements.append(_chart(f"{title}: loss by step", logged, "loss"))
    return [Section("Learning curves", elements, "Learning")] if elements else []


def _chart(title: str, models: Mapping[str, Model], what: str) -> Chart:
    traces: list[dict[str, Any]] = []
    for name, model in models.items():
        own = model.curves
        x, y = (own.steps, own.loss) if what == "loss" else (own.searched, own.gap)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if len(x) > 2 else "lines+markers",
                "name": name,
                "x": thinned(x, len(models)),
                "y": thinned(y, len(models)),
                "line": {"width": 1.5},
                "hovertemplate": f"%{{fullData.name}}\nstep %{{x:,}}\n{what} %{{y:.5f}}",
            }
        )
    layout = {
        "xaxis": {"title": {"text": "step"}},
        "yaxis": {"title": {"text": what}, "type": "log" if what == "loss" else "linear"},
        "showlegend": len(traces) <= _NAMED,
    }
    return Chart(title, traces, layout)


def thinned(values: list[Any], lines: int) -> list[Any]:
    """Every so many of them, and the last: what a chart of so many lines can show."""
    step = -(-len(values) // min(_MOST_POINTS, max(20, _POINTS // lines))) or 1
    return values if step == 1 else [*values[:-1:step], values[-1]]
