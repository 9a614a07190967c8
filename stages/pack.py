"""Stage `pack`: members, precisions and weights under the budget; one file and its receipt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from common.codec import from_plain, to_plain
from common.files import TEMPORARY_SUFFIX, read_json, sha256_file, write_json
from common.units import parse_bytes
from ensemble import WeightedScorer
from metrics.bootstrap import standard_error
from quantize.bundle.content import BundleMember, write_bundle
from quantize.bundle.inference import Bundle
from quantize.bundle.layout import bundle_bytes
from quantize.bundle.manifest import VERSION
from quantize.precision import UNIFORM8
from quantize.selection.curve import curve, front
from quantize.selection.problem import Problem, Solution
from quantize.selection.solver import Solver
from records.seen import SeenClips, seen_clips
from runs import RunError, Task
from stages.bundles import BUNDLE_FOLDER, BUNDLE_NAME, score
from stages.catalogue import Catalogue
from stages.distill import load_students
from stages.ensemble import search_inputs
from stages.execute import Tasks
from stages.jobs import UNLABELED, module_of
from stages.receipt import RECEIPT_NAME, Baseline, Receipt
from stages.stage import Done, stage
from stages.summaries import TrainingSummary
from stages.teachers import load_teachers
from stages.workspace import Workspace

_SOLUTIONS_NAME = "solutions.json"
_MODULES = ("stages.catalogue", "stages.receipt")


@dataclass(frozen=True)
class Packed:
    """What stage `pack` made.

    Attributes:
        folder: the run's.
        receipt: of the bundle.
        curve: the best bundle for every number of bytes; the packed one is on it, unless it is a
            flat mean that a smaller bundle beats.
        sensitivity: see `Catalogue.sensitivity`.
        teachers: by student, how its member was trained on the labels.
    """

    folder: Path
    receipt: Receipt
    curve: tuple[Solution, ...]
    sensitivity: list[dict[str, Any]]
    teachers: dict[str, TrainingSummary]

    @property
    def bundle(self) -> Path:
        """The bundle's file."""
        return self.folder / BUNDLE_FOLDER / BUNDLE_NAME


@stage(
    "pack",
    help="quantize, choose under the budget, write bundle and receipt",
    needs=("distill",),
    done=lambda workspace: Done.below(workspace.run.root, [BUNDLE_FOLDER]),
)
def pack(workspace: Workspace) -> Packed:
    """Writes `bundle/bundle.safetensors` and `bundle/receipt.json`.

    Everything is chosen on `search`, on predictions of the quantized weights; the figures of the
    receipt are of `report`, and its `gap` of the file as read back. Another budget is solved from
    what was measured for the first, without the models.

    Raises:
        RunError: a teacher or a student is missing.
        BudgetError: no member fits the budget; an older bundle stays.
        BundleError: there is no precision of a name, or weights hold NaN or an infinity.
    """
    teachers = load_teachers(workspace)
    packer = _Packer(workspace, Catalogue(workspace, load_students(workspace, teachers)))
    tasks = Tasks(workspace)
    # The budget is not among what the curve depends on.
    inputs = search_inputs(workspace, packer.catalogue.tasks)
    inputs |= {"schema": workspace.schema, "file": [VERSION, *Receipt.names_in_file()]}
    traced = tasks.of_work("curve", inputs, packer.trace, _MODULES)
    solutions = _read_solutions(traced)
    chosen = tasks.of_work(
        "selection",
        {"budget": packer.budget, "curve": traced.digest()},
        lambda task: packer.select(task, solutions),
        _MODULES,
    )
    solution, *baseline = _read_solutions(chosen)
    inputs = {
        "selection": chosen.digest(),
        "schema": workspace.schema,
        "fingerprint": workspace.fingerprints["report"],
    }
    families = {packer.catalogue.jobs[name].setting.family for name in solution.choice}
    task = tasks.of_work(
        BUNDLE_FOLDER,
        inputs,
        lambda task: packer.write(task, solution, baseline),
        (*_MODULES, "stages.bundles", "stages.measurement_work", *map(module_of, sorted(families))),
    )
    receipt = task.file(RECEIPT_NAME)
    return Packed(
        workspace.run.root,
        from_plain(Receipt, read_json(receipt), str(receipt), RunError),
        front([*solutions, solution]),
        packer.catalogue.sensitivity(),
        {
            name: teachers.summary(student.member)
            for name, student in workspace.config.students.items()
        },
    )


class _Packer:
    """The steps of the stage, over the students of a run."""

    def __init__(self, workspace: Workspace, catalogue: Catalogue) -> None:
        config = workspace.config
        self.catalogue = catalogue
        self.budget = parse_bytes(config.budget)
        self._workspace = workspace
        self._mix = config.ensemble.mix
        self._search: dict[str, Any] = {
            "method": config.ensemble.method,
            "trials": config.ensemble.trials,
            "seed": config.seed,
        }

    @cached_property
    def _problem(self) -> Problem:
        labels = self._workspace.labels("search")
        return Problem(self.catalogue.options(), labels, self._size, self._mix)

    @cached_property
    def _seen(self) -> tuple[SeenClips, ...]:
        seen = seen_clips(self._workspace.source, self._workspace.learned_from)
        further = self._workspace.unlabeled
        return seen + (seen_clips(further, (UNLABELED,)) if further else ())

    def _size(self, choice: Mapping[str, str]) -> int:
        """Exact bytes of the file with these recipes by member; the figures do not change it."""
        receipt = self._receipt(choice, dict.fromkeys(choice, 1.0)).in_file()
        layouts = [self.catalogue.layouts[option] for option in choice.items()]
        return bundle_bytes(self._workspace.schema, layouts, receipt, self._mix)

    def trace(self, task: Task) -> tuple[list[str], Any]:
        """Solves the whole curve."""
        return _write_solutions(task, curve(self._problem, **self._search))

    def select(self, task: Task, known: Sequence[Solution]) -> tuple[list[str], Any]:
        """Solves the budget, knowing the curve; beside it uniform 8 bits for all that fit."""
        solver = Solver(self._problem, **self._search)
        solution = solver.solve(self.budget, known)
        baseline = solver.baseline(self.budget)
        return _write_solutions(task, [solution] if baseline is None else [solution, baseline])

    def write(
        self, task: Task, solution: Solution, baseline: Sequence[Solution]
    ) -> tuple[list[str], Any]:
        """Writes a bundle, reads it back, scores it on `report`, and writes it with its score.

        The figures do not change the file's size, nor its tensors: it is scored before they are
        known. Until then it stands beside its place, where nobody takes it for the bundle.
        """
        choice, weights = solution.choice, solution.weights
        path = task.folder / BUNDLE_NAME
        members = [self.catalogue.member(n, choice[n], weights[n]) for n in choice]
        receipt = self._receipt(choice, weights)
        # Cut short, it leaves a file by whose name the next attempt removes it.
        beside = path.with_name(f".{path.name}.unscored{TEMPORARY_SUFFIX}")
        self._write_file(beside, members, receipt)
        loaded = Bundle.load(beside)
        beside.unlink()
        scores = score(loaded, self._workspace.data.open("report"))
        figures = scores.compute() | scores.errors()
        gap_float, _ = self._on_report(weights, quantized=False)
        receipt = replace(
            receipt,
            gap=figures["gap"],
            gap_error=figures["gap_error"],
            map=figures["map"],
            map_error=figures["map_error"],
            map_at_10=figures["map_at_10"],
            map_at_10_error=figures["map_at_10_error"],
            search_gap=solution.gap,
            search_gap_error=self._problem.standard_error(solution),
            gap_float=gap_float,
        )
        for found in baseline:
            flat = dict.fromkeys(found.weights, 1 / len(found.weights))
            drawn = scores.resampled_gap()
            uniform8_gap, uniform8_drawn = self._on_report(found.weights, quantized=True)
            flat_gap, flat_drawn = self._on_report(flat, quantized=True)
            receipt = replace(
                receipt,
                uniform8_gap=uniform8_gap,
                uniform8_gain_error=standard_error(drawn - uniform8_drawn),
                flat_gap=flat_gap,
                flat_gain_error=standard_error(drawn - flat_drawn),
            )
        self._write_file(path, members, receipt)
        left_out = [name for name in self.catalogue.jobs if name not in choice]
        receipt = replace(
            receipt,
            bytes=path.stat().st_size,
            budget_bytes=self.budget,
            sha256=sha256_file(path),
            uniform8=tuple(Baseline(found.size, found.gap, found.weights) for found in baseline),
            left_out=tuple(self.catalogue.receipt(name, UNIFORM8, 0.0) for name in left_out),
        )
        write_json(task.folder / RECEIPT_NAME, to_plain(receipt))
        return [BUNDLE_NAME, RECEIPT_NAME], {"gap": receipt.gap, "bytes": receipt.bytes}

    def _write_file(self, path: Path, members: Sequence[BundleMember], receipt: Receipt) -> None:
        schema, entropy = self._workspace.schema, self._workspace.config.quantize.entropy
        write_bundle(path, schema, members, receipt.in_file(), self._mix, entropy=entropy)

    def _receipt(self, choice: Mapping[str, str], weights: Mapping[str, float]) -> Receipt:
        """It without figures."""
        jobs = self.catalogue.jobs
        return Receipt(
            members=tuple(self.catalogue.receipt(n, choice[n], weights[n]) for n in choice),
            hashes={
                "data": self._workspace.fingerprints,
                "students": {name: jobs[name].trained.digest for name in choice},
            },
            seen=self._seen,
        )

    def _on_report(
        self, weights: Mapping[str, float], *, quantized: bool
    ) -> tuple[float, np.ndarray]:
        """GAP@20 on `report` from stored predictions, and of each draw of its clips."""
        members = [self.catalogue.on_report(name, quantized=quantized) for name in weights]
        scorer = WeightedScorer(members, self._workspace.labels("report"), mix=self._mix)
        row = np.array(list(weights.values()))
        return float(scorer.gap(row[None]).gap[0]), scorer.resampled_gap(row)


def _write_solutions(task: Task, solutions: Sequence[Solution]) -> tuple[list[str], Any]:
    write_json(task.folder / _SOLUTIONS_NAME, to_plain(solutions))
    return [_SOLUTIONS_NAME], {"gap": solutions[0].gap}


def _read_solutions(task: Task) -> list[Solution]:
    path = task.file(_SOLUTIONS_NAME)
    return [from_plain(Solution, found, str(path), RunError) for found in read_json(path)]
