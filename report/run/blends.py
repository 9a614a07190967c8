"""What the models of other programs say beside the run's own."""

from typing import Any

from ensemble.blend import Blend
from report.page import Column, Element, Facts, Section, Table
from report.run.numbers import plus_minus
from stages.report import Findings

_TITLES = {"teachers": "The teachers and external models", "bundle": "The bundle and them"}


def blend_section(findings: Findings) -> list[Section]:
    """A blend's members alone and together, for each blend that there is."""
    elements: list[Element] = []
    for name, blend in findings.blends.items():
        elements += _blend(_TITLES[name], blend)
    return [Section("With external models", elements, "External")] if elements else []


def _blend(title: str, blend: Blend) -> list[Element]:
    columns = [
        Column("model"),
        Column("weight", "number", 3),
        Column("GAP search", "number", 5, "alone, where the weights were chosen"),
        Column("GAP report", "number", 5, "alone"),
        Column("blend has more", "number", 5, "GAP of the blend on report, less its own"),
        Column("± more", "number", 5, "the standard error of that"),
    ]
    rows: list[list[Any]] = [
        [name, own.weight, own.search.gap, own.report.gap, own.gain, own.error]
        for name, own in blend.members.items()
    ]
    scores = {
        "GAP of the blend on search, where its weights were chosen": blend.search,
        "GAP of the blend on report": blend.report,
    }
    return [
        Table(columns, rows, (1, "descending"), title),
        Facts({name: plus_minus(score.gap, score.error) for name, score in scores.items()}),
    ]
