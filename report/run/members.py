"""The leaderboard, the weights, and what each member adds."""

from typing import Any

from report.page import Chart, Column, Element, Section, Table
from stages.findings.models import Model
from stages.packing.receipt import MemberReceipt, Receipt
from stages.report import Findings
from stages.summaries import TrainingSummary

# More bars than these have no room for their names.
_NAMED = 40


def member_section(findings: Findings) -> Section:
    elements: list[Element] = [leaderboard(findings)]
    if findings.evidence is not None:
        elements += _shares(findings)
    return Section("Members", elements)


def leaderboard(findings: Findings) -> Table:
    """A row for each student, and for each member that has none."""
    students = {name: own.member for name, own in findings.config.students.items()}
    rows = [
        _row(findings, name, member)
        for name, member in students.items()
        if name in findings.students or member in findings.teachers
    ]
    without = [name for name in findings.teachers if name not in students.values()]
    rows += [_row(findings, None, member) for member in without]
    columns = [
        Column("member"),
        Column("family"),
        Column("GAP teacher", "number", 5, "on report, trained on labels, the better weights"),
        Column("GAP student", "number", 5, "on report, trained on soft targets, float32"),
        Column("GAP packed", "number", 5, "on report, the student as it is stored"),
        Column("stored as"),
        Column("bytes", "bytes", help="as stored; of a member that is left out, at 8 bits"),
        Column("weight", "number", 3),
        Column("adds", "number", 5, "GAP of the whole less GAP without it, on report"),
        Column("± adds", "number", 5, "the standard error of that"),
        Column("minutes of training", "number", 2, "teacher and student"),
        Column("clips/s trained", "integer", help="of the student, or of the teacher"),
        Column("clips/s predicted", "integer", help="float32, one thread or a GPU"),
        Column("parameters", "integer"),
    ]
    return Table(columns, rows, (2, "descending"), "Leaderboard")


def _row(findings: Findings, student: str | None, member: str) -> list[Any]:
    name = student or member
    stored = _stored(findings.receipt, name)
    models = [findings.teachers.get(member)]
    if student:
        models += [own for copy, own in findings.distilled.items() if _is_copy(copy, student)]
    trained = [own.summary for own in models if own is not None and own.summary is not None]
    seconds = sum(own.training_seconds for own in trained)
    teacher = _summary(findings.teachers.get(member))
    own = _summary(findings.students.get(student)) if student else None
    summary = own or teacher
    evidence = findings.evidence
    added = evidence.contributions.get(name) if evidence else None
    weights = evidence.weights if evidence and not stored else {}
    first = stored[0] if stored else None
    return [
        name,
        findings.config.members[member].family,
        teacher.gap("report") if teacher else None,
        own.gap("report") if own else None,
        findings.packed.get(name),
        first.precision if first and first.weight else None,
        sum(own.bytes for own in stored) if stored else (summary.bytes if summary else None),
        sum(own.weight for own in stored) or weights.get(name),
        added.gain if added else None,
        added.error if added else None,
        seconds / 60 if trained else None,
        summary.clips_per_second if summary else None,
        findings.speeds.get(name),
        summary.parameters if summary else None,
    ]


def _stored(receipt: Receipt | None, student: str) -> list[MemberReceipt]:
    """What the receipt says of a student's models."""
    if receipt is None:
        return []
    all_of_them = (*receipt.members, *receipt.left_out)
    return [own for own in all_of_them if _is_copy(own.name, student)]


def _is_copy(model: str, student: str) -> bool:
    """Whether a model is one of a student's, by the name that it has in a bundle."""
    begins, _, number = model.partition(f"{student}+")
    return model == student or (not begins and number.isdecimal())


def _summary(model: Model | None) -> TrainingSummary | None:
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
