"""What a person reads at the end of a stage, by the type of what the stage returned."""

from collections import Counter
from functools import singledispatch
from pathlib import Path
from typing import Any

from common.units import format_bytes
from ensemble.blend import Blend, Score
from ensemble.choice import Choice
from report.curve import PICTURE_NAME, write_curve
from report.exploration import write_exploration
from report.latency import latency_facts
from report.tables import Format, parameter_count, print_table, recipe_name, weight, write_table
from report.tuning import write_study
from stages.all import Finished
from stages.config import copy_name
from stages.ensemble import BlendedChoice
from stages.explore import Explored
from stages.importing import Imported
from stages.pack import Packed
from stages.packing.receipt import RECEIPT_NAME
from stages.plan import Plan
from stages.predict import Submission
from stages.report import Findings
from stages.teachers import TrainedTeachers
from stages.tune import StudyRecord, Tuned

MEMBERS_NAME = "members.csv"
TEACHERS_NAME = "teachers.csv"
# Columns of that table for which a terminal has no room: of the settings, and of what it took.
_SETTINGS = ("bytes", "loss", "learning rate", "batch", "epochs", "steps", "planned")
_COSTS = ("scoring", "CPU", "GPU")
_KEYS_SHOWN = 3


@singledispatch
def show(result: object) -> None:
    """Prints what a stage returned; its tables also go into the run's folder, unrounded.

    Raises:
        TypeError: nothing is known of such a result.
    """
    raise TypeError(f"a stage returned a {type(result).__name__}; return a text, a path or None")


@show.register(str)
@show.register(Path)
@show.register(type(None))
def _text(result: str | Path | None) -> None:
    """Some stages leave files, and have no more to say."""
    if result is not None:
        print(result)


@show.register(dict)
def _scores(scores: dict[str, float | int]) -> None:
    """By name, with the digits to hold a bundle to what its curve promised, and its error."""
    for name, value in scores.items():
        if f"{name}_error" in scores:
            print(f"{name:<12}{value:.7f} +- {scores[f'{name}_error']:.5f}")
        elif not name.endswith("_error"):
            print(f"{name:<12}{value:.7f}" if isinstance(value, float) else f"{name:<12}{value}")


@show.register
def _explored(explored: Explored) -> None:
    """What a glance at the data has to say; the page has the rest."""
    for split in explored.survey.splits:
        print(f"{split.name:<12}{len(split):,} clips")
    print(f"page        {write_exploration(explored)}")


@show.register
def _imported(imported: Imported) -> None:
    """What was assumed of the data, and what to type next."""
    for what, text in imported.assumed.items():
        print(f"{what:<12}{text}")
    print(f"wrote       {', '.join(map(str, imported.written))}")
    print(f"next        python orchestrate.py stage=all experiment={imported.experiment}")


@show.register
def _plan(plan: Plan) -> None:
    """Members with their sizes, and the sum against the budget."""
    rows = [vars(member) for member in plan.members]
    print_table(rows, dict.fromkeys(("parameters", "bytes"), "{:,}".format))
    print(f"sum {plan.bytes:,} of {plan.budget_bytes:,} bytes, at 8 bits")


@show.register
def _teachers(teachers: TrainedTeachers) -> None:
    """Every teacher's size, scores on `report`, and what its training took."""
    rows = [
        {
            "member": name,
            "family": summary.family,
            "params": summary.parameters,
            "bytes": summary.bytes,
            "GAP": summary.gap("report"),
            "MAP@10": summary.map_at_10_report,
            "MAP": summary.map_report,
            "GAP error": summary.gap_error_report,
            "MAP@10 error": summary.map_at_10_error_report,
            "MAP error": summary.map_error_report,
            "loss": summary.loss,
            "learning rate": summary.learning_rate,
            "batch": summary.batch_size,
            "epochs": summary.epochs,
            "steps": summary.steps,
            "planned": summary.planned_steps,
            "clips/s": summary.clips_per_second,
            "seconds": summary.training_seconds,
            "scoring": summary.evaluation_seconds,
            "memory": summary.peak_memory,
            "CPU": summary.cpu_load,
            "GPU": summary.gpu_load,
        }
        for name, summary in teachers.summaries.items()
    ]
    write_table(teachers.folder / TEACHERS_NAME, rows)
    formats = {
        **dict.fromkeys(("GAP", "MAP@10", "MAP"), "{:.4f}".format),
        **dict.fromkeys(("clips/s", "seconds"), "{:.0f}".format),
        "params": parameter_count,
        "memory": lambda value: f"{value / 1e6:.0f}MB",
    }
    scores = ("GAP", "MAP@10", "MAP")
    print_table(rows, formats, without=(*_SETTINGS, *_COSTS, *(f"{name} error" for name in scores)))
    # Much the same for all members: it is of the clips.
    greatest = (f"{name} {max(row[f'{name} error'] or 0.0 for row in rows):.4f}" for name in scores)
    print(f"standard errors, at most: {', '.join(greatest)}")
    scoring = sum(summary.evaluation_seconds for summary in teachers.summaries.values())
    if scoring:
        seconds = scoring + sum(own.training_seconds for own in teachers.summaries.values())
        print(f"scores on the way took {scoring:.0f} of {seconds:.0f} seconds")


@show.register
def _tuned(tuned: Tuned) -> None:
    """What of each study was kept, and where to look further."""
    for study in tuned.studies:
        write_study(tuned, study)
        states = Counter(trial.state for trial in study.trials)
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        print(f"study {study.name}: {len(study.trials)} trials: {counts}")
        by_number = {trial.number: trial for trial in study.trials}
        rows = [
            {
                "member": f"{study.member}-t{number}",
                "family": study.family,
                **dict(zip(study.objectives, by_number[number].values, strict=True)),
                **{key: str(_rounded(by_number[number].parameters[key])) for key in _most(study)},
            }
            for number in study.kept
        ]
        if rows:
            print_table(rows, {"bytes": lambda value: format_bytes(int(value))})
        else:
            print(f"no trial was trained to its end: {study.member} stays as it is")
    print(f"studies     {tuned.storage}\npictures    {tuned.folder}")
    print(f"experiment  {tuned.experiment}")


def _most(study: StudyRecord) -> list[str]:
    """The parameters that matter most, for which a table has room."""
    keys = list(study.importances) or list(study.trials[0].parameters)
    return keys[:_KEYS_SHOWN]


def _rounded(value: Any) -> Any:
    return f"{value:.3g}" if isinstance(value, float) else value


@show.register
def _choice(choice: Choice) -> None:
    """What stage `ensemble` chose, and what it scores."""
    for family, best in choice.families.items():
        grown = "" if best.exhaustive else ", grown from the best smaller ones"
        print(
            f"teacher {family}: {', '.join(best.members)} (search GAP {best.gap:.5f} +- "
            f"{best.error:.5f}{_proof(best.exact)}, best of {best.scored:,}{grown})"
        )
    rows = [{"member": name, "weight": share} for name, share in choice.weights.items()]
    print_table(rows, {"weight": "{:.4f}".format})
    for split, scores in (("search", choice.search), ("report", choice.report)):
        print(
            f"GAP on {split}: searched {scores.gap:.5f} +- {scores.error:.5f}{_proof(scores.exact)}"
        )
        print(
            f"  against flat, {scores.flat_gap:.5f} +- {scores.flat_error:.5f}"
            f"{_proof(scores.flat_exact)}: {_gain(scores.gap, scores.flat_gap, scores.gain_error)}"
        )


@show.register
def _blended_choice(blended: BlendedChoice) -> None:
    show(blended.choice)
    show(blended.blend)


@show.register
def _blend(blend: Blend) -> None:
    """The members of a blend alone, and together."""
    rows = [
        {
            "member": name,
            "weight": own.weight,
            "search": _score(own.search),
            "report": _score(own.report),
            "blend has more": f"{own.gain:+.4f} +- {own.error:.4f}",
        }
        for name, own in blend.members.items()
    ]
    print_table(rows, {"weight": "{:.4f}".format})
    print(f"GAP of the blend on search: {_score(blend.search)}, where its weights were chosen")
    print(f"GAP of the blend on report: {_score(blend.report)}")


def _score(score: Score) -> str:
    return f"{score.gap:.5f} +- {score.error:.5f}{_proof(score.exact)}"


@show.register
def _submission(submission: Submission) -> None:
    if submission.blend:
        show(submission.blend)
    print(submission.path)


def _gain(gap: float, rival: float, error: float) -> str:
    return f"{gap - rival:+.4f} +- {error:.4f}"


def _proof(exact: bool) -> str:
    return "" if exact else " (not proven exact)"


@show.register
def _packed(packed: Packed) -> None:
    """Every student from teacher to 8 bits, and the file that came of them."""
    receipt = packed.receipt
    write_curve(packed)
    rows = _members_rows(packed)
    write_table(packed.folder / MEMBERS_NAME, rows)
    formats: dict[str, Format] = {"bytes": format_bytes, "weight": weight, "stored as": recipe_name}
    print_table(rows, formats, without=("params",))
    if receipt.copies > 1:
        print(
            f"{receipt.copies} models of each, save of those that remember; expected of their "
            f"means: {receipt.copies_gain:+.5f} +- {receipt.copies_gain_error:.5f}"
        )
    print(
        f"GAP on search: {receipt.search_gap:.5f} +- {receipt.search_gap_error:.5f}, where it was "
        f"chosen\nGAP on report: {receipt.gap:.5f} +- {receipt.gap_error:.5f}, "
        f"float32 {receipt.gap_float:.5f}\n"
        f"MAP@10 {receipt.map_at_10:.5f} +- {receipt.map_at_10_error:.5f}, "
        f"MAP {receipt.map:.5f} +- {receipt.map_error:.5f}"
    )
    for baseline in receipt.uniform8:
        over_uniform8 = _gain(receipt.gap, receipt.uniform8_gap, receipt.uniform8_gain_error)
        over_flat = _gain(receipt.gap, receipt.flat_gap, receipt.flat_gain_error)
        print(
            f"  against all at 8 bits, {receipt.uniform8_gap:.5f} in {baseline.bytes:,} bytes: "
            f"{over_uniform8}\n  against their flat mean, {receipt.flat_gap:.5f}: {over_flat}"
        )
    if receipt.not_packed:
        names = ", ".join(receipt.not_packed)
        print(f"not packed: {names}, without weights; stage=predict blends what they predict")
    share = receipt.bytes / receipt.budget_bytes
    print(f"bytes {receipt.bytes:,} of {receipt.budget_bytes:,} ({share:.1%})")
    for name, fact in latency_facts(receipt).items():
        print(f"{name}: {fact}")
    print(f"curve       {packed.folder / PICTURE_NAME}")
    print(f"bundle      {packed.bundle}\nreceipt     {packed.bundle.with_name(RECEIPT_NAME)}")


@show.register
def _bundles(bundles: tuple) -> None:  # type: ignore[type-arg]
    """A row for each of several budgets; the members of each lie beside its bundle."""
    largest = max(bundles, key=lambda own: own.receipt.budget_bytes)
    write_curve(largest)
    rows = []
    for packed in bundles:
        receipt = packed.receipt
        write_table(packed.bundle.with_name(MEMBERS_NAME), _members_rows(packed))
        rows.append(
            {
                "budget": packed.bundle.parent.name,
                "bytes": receipt.bytes,
                "members": len(receipt.members),
                "search": f"{receipt.search_gap:.5f} +- {receipt.search_gap_error:.5f}",
                "report": f"{receipt.gap:.5f} +- {receipt.gap_error:.5f}",
                "MAP@10": receipt.map_at_10,
                "float32": receipt.gap_float,
            }
        )
    print_table(rows, {"bytes": "{:,}".format, "members": str})
    print("GAP on search, where they were chosen, on report, and on report at float32")
    print(f"curve       {largest.folder / PICTURE_NAME}")
    for packed in bundles:
        print(f"bundle      {packed.bundle}")


def _members_rows(packed: Packed) -> list[dict[str, Any]]:
    """Every student: size, and GAP on `report` at each step from its teacher twin to 8 bits."""
    receipt = packed.receipt
    found = {member.name: member for member in (*receipt.members, *receipt.left_out)}
    rows = []
    for name, teacher in packed.teachers.items():
        copies = [copy_name(name, copy) for copy in range(1, receipt.copies + 1)]
        models = [found[copy] for copy in copies if copy in found]
        first = models[0]
        rows.append(
            {
                "member": name,
                "family": first.family,
                "params": teacher.parameters,
                "bytes": sum(model.bytes for model in models),
                "teacher": teacher.gap_report_main,
                "averaged": teacher.gap_report_average,
                "student": first.gap_float,
                "8 bits": first.gap,
                "stored as": first.precision if first.weight else "",
                "weight": sum(model.weight for model in models),
            }
        )
    return rows


@show.register
def _findings(findings: Findings) -> None:
    """A page to be opened in a browser; its path is printed."""
    # Here, and not above: other commands write no page.
    from report.page import write_page
    from report.run import REPORT_NAME, run_page

    path = findings.folder / REPORT_NAME
    write_page(path, run_page(findings))
    print(path)


@show.register
def _finished(finished: Finished) -> None:
    show(finished.packed)
    if finished.submission.blend:
        show(finished.submission.blend)
    print(f"submission  {finished.submission.path}\nreport      ", end="")
    show(finished.findings)
