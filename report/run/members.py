"""The leaderboard, the weights, and what each member adds."""

from typing import Any

from report.page import Chart, Column, Element, Section, Table
from report.run.numbers import minutes
from stages.config import LABELS
from stages.receipt import MemberReceipt
from stages.report import Findings
from stages.summaries import TrainingSummary

# More bars than these have no room for their names.
_NAMED = 40


def member_section(findings: Findings) -> Section:
    elements: list[Element] = [_leaderboard(findings)]
    if findings.evidence is not None:
        elements += _shares(findings)
    return Section("Members", elements)


def _leaderboard(findings: Findings) -> Table:
    """A row for each student, and for each member that has none."""
    config, receipt = findings.config, findings.receipt
    stored = {own.name: own for own in (*receipt.members, *receipt.left_out)} if receipt else {}
    students = {name: own.member for name, own in config.students.items()}
    rows = [
        _row(findings, name, member, stored.get(name))
        for name, member in students.items()
        if name in findings.students or member in findings.teachers
    ]
    without = [name for name in findings.teachers if name not in students.values()]
    rows += [_row(findings, None, member, None) for member in without]
    columns = [
        Column("member"),
        Column("family"),
        Column("GAP teacher", "number", 5, "on report, trained on labels, the better weights"),
        Column("GAP student", "number", 5, "on report, trained on soft targets, float32"),
        Column("GAP packed", "number", 5, "on report, the student at uniform 8 bits"),
        Column("stored as"),
        Column("bytes", "bytes", help="as stored; of a member that is left out, at 8 bits"),
        Column("weight", "number", 3),
        Column("adds", "number", 5, "GAP of the whole less GAP without it, on report"),
        Column("± adds", "number", 5, "the standard error of that"),
        Column("minutes of training", "number", 2, "teacher and student"),
        Column("clips/s trained", "number", 0, "of the student, or of the teacher"),
        Column("clips/s predicted", "number", 0, "float32, one thread or a GPU"),
        Column("parameters", "integer"),
    ]
    return Table(columns, rows, (2, "descending"), "Leaderboard")


def _row(
    findings: Findings, student: str | None, member: str, stored: MemberReceipt | None
) -> list[Any]:
    name = student or member
    teacher = _summary(findings.teachers.get(member))
    own = _summary(findings.students.get(student)) if student else None
    summary = own or teacher
    evidence = findings.evidence
    added = evidence.contributions.get(name) if evidence else None
    of_labels = student is not None and findings.config.students[student].teacher == LABELS
    trained = [teacher, None if of_labels else own]
    seconds = [own.training_seconds for own in trained if own is not None]
    weights = evidence.weights if evidence else {}
    return [
        name,
        findings.config.members[member].family,
        teacher.gap("report") if teacher else None,
        own.gap("report") if own else None,
        stored.gap if stored else None,
        stored.precision if stored and stored.weight else None,
        stored.bytes if stored else (summary.bytes if summary else None),
        stored.weight or None if stored else weights.get(name),
        added.gain if added else None,
        added.error if added else None,
        minutes(sum(seconds)) if seconds else None,
        summary.clips_per_second if summary else None,
        findings.speeds.get(name),
        summary.parameters if summary else None,
    ]


def _summary(model: Any) -> TrainingSummary | None:
    return model.summary if model is not None else None


def _shares(findings: Findings) -> list[Element]:
    """Weights, and what is lost without each member, as bars."""
    evidence = findings.evidence
    assert evidence is not None
    weights = dict(sorted(evidence.weights.items(), key=lambda own: own[1])[-_NAMED:])
    elements: list[Element] = [
        _bars(f"Weights of {evidence.subject}", list(weights), list(weights.values()), "weight")
    ]
    added = {name: own for name, own in evidence.contributions.items() if own is not None}
    found = sorted(added.items(), key=lambda own: own[1].gain)[-_NAMED:]
    if found:
        errors = [own.error for _, own in found]
        gains = [own.gain for _, own in found]
        title = "What each member adds: GAP on report less GAP without it, one standard error"
        elements.append(_bars(title, [name for name, _ in found], gains, "GAP", errors))
    return elements


def _bars(
    title: str,
    names: list[str],
    values: list[float],
    unit: str,
    errors: list[float] | None = None,
) -> Chart:
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "x": values,
        # By number: two long names that are cut are still two bars.
        "y": list(range(len(names))),
        "text": names,
        "textposition": "none",
        "marker": {"color": "var(--series-1)"},
        "hovertemplate": f"%{{text}}\n{unit} %{{x:.5f}}",
    }
    if errors:
        trace["error_x"] = {"array": errors, "color": "var(--faint)", "thickness": 1, "width": 3}
    layout = {
        "xaxis": {"title": {"text": unit}},
        "yaxis": {"tickvals": trace["y"], "ticktext": names, "showgrid": False},
    }
    return Chart(title, [trace], layout, height=max(240, 70 + 20 * len(names)))
