"""What the run cost: training by model, memory, speed on the way, and the machine."""

from collections.abc import Mapping
from typing import Any

from report.page import Chart, Element, Facts, Section, Text
from report.run.learning import thinned
from stages.findings.models import Model
from stages.report import Findings


def cost_section(findings: Findings) -> Section:
    """After papers/002, figure 23: what a session used, model by model."""
    kinds = {"teachers": findings.teachers, "students": findings.distilled}
    facts = {
        f"minutes of training, {kind}": f"{_seconds(models) / 60:.1f}"
        for kind, models in kinds.items()
        if models
    }
    elements: list[Element] = [
        Facts(facts),
        Text("The machine on which this page was made:"),
        Facts(findings.machine),
        _bars("Minutes of training", kinds, "minutes", "training_seconds", 1 / 60),
        _bars("Peak memory of a training", kinds, "MB", "peak_memory", 1e-6),
        *_speeds(kinds),
    ]
    return Section("Cost and hardware", elements, "Cost")


def _seconds(models: Mapping[str, Model]) -> float:
    return sum(own.summary.training_seconds for own in models.values() if own.summary)


def _bars(
    title: str, kinds: Mapping[str, Mapping[str, Model]], unit: str, field: str, factor: float
) -> Chart:
    names = list(dict.fromkeys(name for models in kinds.values() for name in models))
    traces = []
    for kind, models in kinds.items():
        done = {name: own.summary for name, own in models.items() if own.summary}
        traces.append(
            {
                "type": "bar",
                "name": kind,
                "x": [names.index(name) for name in done],
                "y": [factor * getattr(summary, field) for summary in done.values()],
                "text": list(done),
                "textposition": "none",
                "hovertemplate": f"%{{text}}, {kind}\n%{{y:.2f}} {unit}",
            }
        )
    layout = {
        "barmode": "group",
        "xaxis": {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False},
        "yaxis": {"title": {"text": unit}},
    }
    return Chart(title, traces, layout)


def _speeds(kinds: Mapping[str, Mapping[str, Model]]) -> list[Element]:
    """Clips a second over the steps of each training."""
    elements: list[Element] = []
    for kind, models in kinds.items():
        logged = {name: own.curves for name, own in models.items() if own.curves.steps}
        traces: list[dict[str, Any]] = [
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": thinned(own.steps, len(logged)),
                "y": thinned(own.speed, len(logged)),
                "line": {"width": 1.2},
                "hovertemplate": "%{fullData.name}\nstep %{x:,}\n%{y:,.0f} clips/s",
            }
            for name, own in logged.items()
        ]
        layout = {
            "xaxis": {"title": {"text": "step"}},
            "yaxis": {"title": {"text": "clips a second"}, "rangemode": "tozero"},
            "showlegend": False,
        }
        if traces:
            elements.append(Chart(f"Speed of training, {kind}", traces, layout))
    return elements
