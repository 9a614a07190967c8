"""The whole page, from what stage `report` found."""

import shlex

import yaml

from common.units import format_bytes
from report.latency import latency_facts
from report.page import Code, Element, Facts, Page, Section, Text
from report.run.blends import blend_section
from report.run.costs import cost_section
from report.run.curves import curve_section
from report.run.evidence import clip_section, label_section, together_section
from report.run.learning import learning_section
from report.run.members import member_section
from report.run.numbers import plus_minus
from stages.packing.bundles import BUNDLE_FOLDER
from stages.packing.receipt import RECEIPT_NAME, Receipt
from stages.report import Findings


def run_page(findings: Findings) -> Page:
    """The page of what stage `report` found."""
    sections = [
        _result(findings),
        member_section(findings),
        *blend_section(findings),
        *curve_section(findings),
        *learning_section(findings),
        *label_section(findings),
        *clip_section(findings),
        *together_section(findings),
        cost_section(findings),
        _origin(findings),
    ]
    data = findings.schema
    labels = f"{data.num_labels:,} labels, {data.level} level"
    subtitle = f"{findings.folder}: {data.name}, {labels}"
    return Page(f"Run {findings.config.run}", subtitle, sections, findings.notices)


def _result(findings: Findings) -> Section:
    receipt, evidence = findings.receipt, findings.evidence
    if receipt is not None:
        return Section("Result", _packed(findings, receipt))
    done = {
        name: "done" if own.whole else f"{own.tasks} of {own.of} done"
        for name, own in findings.progress.items()
        if own.of
    }
    elements: list[Element] = [
        Text("No bundle is packed yet. What is done, by stage:"),
        Facts(done),
    ]
    if evidence is None:
        return Section("Result", elements)
    scores = evidence.scores
    return Section(
        "Result",
        [
            *elements,
            Text(f"Scores below are of {evidence.subject}, on {evidence.clips:,} clips of report."),
            Facts(
                {
                    "GAP on report": plus_minus(scores["gap"], scores["gap_error"]),
                    "MAP@10": plus_minus(scores["map_at_10"], scores["map_at_10_error"]),
                    "MAP": plus_minus(scores["map"], scores["map_error"]),
                },
                large=True,
            ),
        ],
    )


def _packed(findings: Findings, receipt: Receipt) -> list[Element]:
    elements: list[Element] = [
        Facts(
            {
                "GAP on report": plus_minus(receipt.gap, receipt.gap_error),
                "MAP@10": plus_minus(receipt.map_at_10, receipt.map_at_10_error),
                "MAP": plus_minus(receipt.map, receipt.map_error),
                "bytes": f"{receipt.bytes:,}",
                "of the budget": f"{receipt.bytes / receipt.budget_bytes:.1%}",
            },
            large=True,
        )
    ]
    facts = {
        "GAP on search, where it was chosen": plus_minus(
            receipt.search_gap, receipt.search_gap_error
        ),
        "GAP at float32": f"{receipt.gap_float:.5f}",
        "members": f"{len(receipt.members)} of {len(receipt.members) + len(receipt.left_out)}",
        "budget": format_bytes(receipt.budget_bytes),
        **latency_facts(receipt),
    }
    if findings.evidence is not None:
        scores = findings.evidence.scores
        facts["Hit@1"] = plus_minus(scores["hit_at_1"], scores["hit_at_1_error"])
        facts["PERR"] = plus_minus(scores["perr"], scores["perr_error"])
        facts["clips of report"] = f"{findings.evidence.clips:,}"
    for baseline in receipt.uniform8:
        gains = (
            (
                f"more than all at 8 bits ({receipt.uniform8_gap:.5f} in {baseline.bytes:,} bytes)",
                receipt.gap - receipt.uniform8_gap,
                receipt.uniform8_gain_error,
            ),
            (
                f"more than their flat mean ({receipt.flat_gap:.5f})",
                receipt.gap - receipt.flat_gap,
                receipt.flat_gain_error,
            ),
        )
        facts |= {name: f"{gain:+.4f} ± {error:.4f}" for name, gain, error in gains}
    elements.append(Facts(facts))
    elements.append(
        Text(
            "Members, precisions and weights were chosen on search; nothing was chosen on report. "
            "What stands behind ± is a standard error, by drawing the clips a thousand times; of a "
            "difference it is over the same draws, and mostly much smaller."
        )
    )
    return elements


def _origin(findings: Findings) -> Section:
    """The commands, the configuration, and the receipt."""
    others = [own for own in findings.arguments if not own.startswith("stage=")]
    command = shlex.join(["python", "orchestrate.py", "stage=all", *others])
    elements: list[Element] = [Text("The command that makes this run:"), Code(command)]
    path = findings.folder / BUNDLE_FOLDER / RECEIPT_NAME
    if findings.receipt is not None:
        elements += [Text(f"The receipt, {path}:"), _as_yaml(findings.receipt.beside())]
    elements += [Text("All keys of the configuration:"), _as_yaml(findings.config.shown())]
    return Section("Command, receipt and configuration", elements, "Receipt")


def _as_yaml(value: object) -> Code:
    return Code(yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip())
