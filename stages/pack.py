"""Stage `pack`: members, precisions and weights under the budget; one file and its receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from common.codec import from_plain
from common.files import read_json, sha256_file, write_json
from common.units import parse_bytes
from ensemble import WeightedScorer
from ensemble.evenness import PER_CLIP
from quantize.bundle.content import BundleMember, write_bundle
from quantize.bundle.inference import Bundle
from quantize.bundle.layout import bundle_bytes
from quantize.errors import BundleError
from quantize.precision import UNIFORM8
from quantize.recipes import check_precisions
from quantize.selection.curve import curve, front
from quantize.selection.problem import Problem, Solution
from quantize.selection.solver import Solver
from runs import Predictions, Task
from stages.catalogue import Catalogue
from stages.submission import BUNDLE_FOLDER, BUNDLE_NAME, score
from stages.workspace import Workspace

RECEIPT_NAME = "receipt.json"
_SOLUTIONS_NAME = "solutions.json"
_FIGURES = ("gap", "gap_float", "uniform8_gap", "flat_gap", "map", "map_at_10", "search_gap")


@dataclass(frozen=True)
class Packed:
    """What stage `pack` made.

    Attributes:
        receipt: of the bundle.
        curve: the best bundle for every number of bytes; the packed one is on it, unless it is a
            flat mean that a smaller bundle beats.
        sensitivity: a row a student and recipe; see `Catalogue.sensitivity`.
    """

    receipt: dict[str, Any]
    curve: tuple[Solution, ...]
    sensitivity: list[dict[str, Any]]


def pack(workspace: Workspace, students: Mapping[str, Task]) -> Packed:
    """Writes `bundle/bundle.safetensors` and `bundle/receipt.json`.

    Everything is chosen on `search`, on predictions of the quantized weights; the figures of the
    receipt are of `report`, and its `gap` of the file as read back. Another budget is solved from
    what was measured for the first, without the models.

    Raises:
        BudgetError: no member fits the budget; an older bundle stays.
        BundleError: there is no precision of a name, or weights hold NaN or an infinity.
    """
    settings = workspace.config.quantize
    check_precisions([*settings.precisions, *settings.group_precisions])
    packer = _Packer(workspace, Catalogue(workspace, students))
    traced = workspace.once("curve", packer.curve_inputs(), packer.trace)
    solutions = _read_solutions(traced)
    chosen = workspace.once(
        "selection",
        {"budget": packer.budget, "curve": traced.digest()},
        lambda task: packer.select(task, solutions),
    )
    solution, *baseline = _read_solutions(chosen)
    inputs = {
        "selection": chosen.digest(),
        "schema": workspace.schema,
        "fingerprint": workspace.fingerprints["report"],
    }
    task = workspace.once(
        BUNDLE_FOLDER, inputs, lambda task: packer.write(task, solution, baseline)
    )
    return Packed(
        read_json(task.folder / RECEIPT_NAME),
        front([*solutions, solution]),
        packer.catalogue.sensitivity(),
    )


class _Packer:
    """The steps of the stage.

    Args:
        workspace: the run.
        catalogue: its students by every recipe.
    """

    def __init__(self, workspace: Workspace, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.budget = parse_bytes(workspace.config.budget)
        self._workspace = workspace
        self._mix = workspace.config.ensemble.mix

    @cached_property
    def _problem(self) -> Problem:
        labels = self._workspace.labels("search")
        return Problem(self.catalogue.options(), labels, self._size, self._mix)

    def _size(self, choice: Mapping[str, str]) -> int:
        """Exact bytes of the file with these recipes by member; the figures do not change it."""
        receipt = self._receipt(choice, dict.fromkeys(choice, 1.0), dict.fromkeys(_FIGURES, 0.0))
        layouts = [self.catalogue.layout(name, recipe) for name, recipe in choice.items()]
        return bundle_bytes(self._workspace.schema, layouts, receipt, self._mix)

    def curve_inputs(self) -> dict[str, Any]:
        """What the curve depends on; the budget is not among it."""
        ensemble = self._workspace.config.ensemble
        return {
            "method": ensemble.method,
            "trials": ensemble.trials,
            "mix": ensemble.mix,
            "evenness": PER_CLIP,
            "seed": self._workspace.config.seed,
            "schema": self._workspace.schema,
            "upstream": {task.name: task.digest() for task in self.catalogue.measured.values()},
        }

    def trace(self, task: Task) -> tuple[list[str], dict[str, Any]]:
        """Solves the whole curve."""
        config = self._workspace.config
        points = curve(
            self._problem,
            config.ensemble.method,
            trials=config.ensemble.trials,
            seed=config.seed,
        )
        return _write_solutions(task, points)

    def select(self, task: Task, known: Sequence[Solution]) -> tuple[list[str], dict[str, Any]]:
        """Solves the budget, knowing the curve; beside it uniform 8 bits for all that fit."""
        config = self._workspace.config
        solver = Solver(
            self._problem,
            config.ensemble.method,
            trials=config.ensemble.trials,
            seed=config.seed,
        )
        solution = solver.solve(self.budget, known)
        baseline = solver.baseline(self.budget)
        return _write_solutions(task, [solution] if baseline is None else [solution, baseline])

    def write(
        self, task: Task, solution: Solution, baseline: Sequence[Solution]
    ) -> tuple[list[str], dict[str, Any]]:
        """Writes the bundle, reads it back, scores it on `report`, and writes it with its score.

        The figures do not change the file's size, nor its tensors: it is scored before they are
        known, and its bytes are final either way.
        """
        choice, weights = solution.choice, solution.weights
        members = [self.catalogue.member(n, choice[n], weights[n]) for n in choice]
        path = task.folder / BUNDLE_NAME
        figures = dict.fromkeys(_FIGURES, 0.0) | self._sparse_figures(solution, baseline)
        self._write_file(path, members, self._receipt(choice, weights, figures))
        scores = score(Bundle.load(path), self._workspace.split("report"))
        figures |= {name: scores[name] for name in ("gap", "map", "map_at_10")}
        receipt = self._receipt(choice, weights, figures)
        self._write_file(path, members, receipt)
        full = {
            "bytes": path.stat().st_size,
            "budget_bytes": self.budget,
            "sha256": sha256_file(path),
            **receipt,
            "uniform8": [
                {"bytes": one.size, "search_gap": one.gap, "weights": one.weights}
                for one in baseline
            ],
            "left_out": [
                self._member_receipt(name, UNIFORM8, 0.0)
                for name in self.catalogue.students
                if name not in choice
            ],
        }
        write_json(task.folder / RECEIPT_NAME, full)
        return [BUNDLE_NAME, RECEIPT_NAME], {"gap": figures["gap"], "bytes": full["bytes"]}

    def _write_file(
        self, path: Path, members: Sequence[BundleMember], receipt: Mapping[str, Any]
    ) -> None:
        entropy = self._workspace.config.quantize.entropy
        write_bundle(path, self._workspace.schema, members, receipt, self._mix, entropy=entropy)

    def _receipt(
        self,
        choice: Mapping[str, str],
        weights: Mapping[str, float],
        figures: Mapping[str, float],
    ) -> dict[str, Any]:
        """What goes into the file itself: nothing that depends on the budget."""
        digests = self.catalogue.digests
        return {
            **figures,
            "members": [self._member_receipt(n, choice[n], weights[n]) for n in choice],
            "hashes": {
                "data": dict(self._workspace.fingerprints),
                "students": {name: digests[name] for name in choice},
            },
        }

    def _member_receipt(self, name: str, recipe: str, weight: float) -> dict[str, Any]:
        figures = self.catalogue.figures(name)
        return {
            "name": name,
            "family": self.catalogue.family(name),
            "precision": recipe,
            "bytes": figures["recipes"][recipe]["bytes"],
            "weight": weight,
            "gap": figures["gap"],
            "gap_float": figures["gap_float"],
        }

    def _sparse_figures(self, solution: Solution, baseline: Sequence[Solution]) -> dict[str, float]:
        """GAP from stored predictions: `search_gap` as solved; on `report` the other three.

        They are of the solution's weights at float32, and of uniform 8 bits for all that fit: with
        its searched weights, and its flat mean.
        """
        figures = {
            "search_gap": solution.gap,
            "gap_float": self._on_report(solution.weights, quantized=False),
        }
        for one in baseline:
            flat = dict.fromkeys(one.weights, 1 / len(one.weights))
            figures["uniform8_gap"] = self._on_report(one.weights, quantized=True)
            figures["flat_gap"] = self._on_report(flat, quantized=True)
        return figures

    def _on_report(self, weights: Mapping[str, float], *, quantized: bool) -> float:
        members: list[Predictions] = [
            self.catalogue.on_report(name, quantized=quantized) for name in weights
        ]
        scorer = WeightedScorer(members, self._workspace.labels("report"), mix=self._mix)
        return float(scorer.gap(np.array([list(weights.values())])).gap[0])


def _write_solutions(task: Task, solutions: Sequence[Solution]) -> tuple[list[str], dict[str, Any]]:
    write_json(task.folder / _SOLUTIONS_NAME, [asdict(one) for one in solutions])
    return [_SOLUTIONS_NAME], {"gap": solutions[0].gap}


def _read_solutions(task: Task) -> list[Solution]:
    path = task.folder / _SOLUTIONS_NAME
    return [from_plain(Solution, values, str(path), BundleError) for values in read_json(path)]
