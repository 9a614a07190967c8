"""What stage `pack` does with the students of a run: the curve, the choice, and the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.codec import to_plain
from common.files import TEMPORARY_SUFFIX, sha256_file, write_bytes, write_json
from ensemble import WeightedScorer
from metrics import Labels
from metrics.bootstrap import standard_error
from metrics.thresholds import choose_thresholds
from quantize.bundle.content import BundleMember, write_bundle
from quantize.bundle.inference import Bundle
from quantize.bundle.layout import bundle_bytes
from quantize.errors import BudgetError
from quantize.precision import UNIFORM8
from quantize.selection.comparison import compare
from quantize.selection.curve import curve, uniform8_curve
from quantize.selection.latency import Latency
from quantize.selection.problem import Problem, Solution
from quantize.selection.solver import Solver
from records.seen import SeenClips, seen_clips
from runs import Task
from stages.jobs import UNLABELED
from stages.packing.bundles import BUNDLE_NAME
from stages.packing.card import CARD_NAME, model_card
from stages.packing.catalogue import Catalogue
from stages.packing.copies import Gain, SeedVariance, UnseenByAll
from stages.packing.latency import ClipTimes, clip_times
from stages.packing.measured import MeasuredModel
from stages.packing.outdated import remove_what_follows
from stages.packing.receipt import RECEIPT_NAME, Baseline, Receipt, TagsReceipt
from stages.packing.scored import score
from stages.tuning.searches import searches_kept
from stages.workspace import Workspace

SOLUTIONS_NAME = "solutions.json"
COMPARISON_NAME = "comparison.json"
CHOSEN_NAME = "chosen.json"


@dataclass(frozen=True)
class Chosen:
    """What is packed.

    Attributes:
        solution: students, recipes and weights.
        gain: what the mean of several models of each is expected to bring; 0 for one of each.
        baseline: beside it uniform 8 bits for all that fit, if any does.
    """

    solution: Solution
    gain: Gain
    baseline: Solution | None


class Packer:
    """The steps of the stage, over the students of a run."""

    def __init__(self, workspace: Workspace, catalogue: Catalogue) -> None:
        config = workspace.config
        self.catalogue = catalogue
        self.budget = max(config.budgets.values())
        self._workspace = workspace
        self._mix = config.ensemble.mix
        self._has_thresholds = config.pack.thresholds != "none"
        self._wanted_precision = config.pack.wanted_precision
        self._search: dict[str, Any] = {
            "method": config.ensemble.method,
            "trials": config.ensemble.trials,
            "seed": config.seed,
        }

    @cached_property
    def clip_times(self) -> ClipTimes:
        """What a clip takes in each student."""
        firsts = {name: own[0] for name, own in self.catalogue.models.items()}
        return clip_times(self._workspace, firsts)

    def under(self, budget: int) -> Packer:
        """The same over the same students, under another budget."""
        other = copy(self)
        other.budget = budget
        return other

    @cached_property
    def _problem(self) -> Problem:
        labels = self._workspace.labels("search")
        limit = self._latency_of(1)
        return Problem(self.catalogue.options(), labels, self._size_of(1), self._mix, limit)

    @cached_property
    def _labels_of_report(self) -> Labels:
        return self._workspace.labels("report")

    @cached_property
    def _seen(self) -> tuple[SeenClips, ...]:
        seen = seen_clips(self._workspace.source, self._workspace.learned_from)
        further = self._workspace.unlabeled
        return seen + (seen_clips(further, (UNLABELED,)) if further else ())

    @property
    def _clips(self) -> dict[str, int]:
        """How many clips there are of each split that the bundle is made of, and of `report`."""
        source, further = self._workspace.source, self._workspace.unlabeled
        clips = {name: len(source.open(name)) for name in (*self._workspace.learned_from, "report")}
        return clips | ({UNLABELED: len(further.open(UNLABELED))} if further else {})

    def _size_of(self, copies: int) -> Callable[[Mapping[str, str]], int]:
        """Exact bytes of the file with these recipes by member; the figures do not change it."""

        def size(choice: Mapping[str, str]) -> int:
            receipt = self._receipt(choice, dict.fromkeys(choice, 1.0), copies).in_file()
            layouts = [
                model.layouts[recipe]
                for name, recipe in choice.items()
                for model in self.catalogue.packed(name, copies)
            ]
            schema, thresholds = self._workspace.schema, self._has_thresholds
            return bundle_bytes(schema, layouts, receipt, self._mix, thresholds=thresholds)

        return size

    def _latency_of(self, copies: int, limit: float | None = None) -> Latency:
        """What a clip may take with so many models of each student, by default in the bundle."""
        counts = {name: len(own[:copies]) for name, own in self.catalogue.models.items()}
        return self.clip_times.within(counts, limit)

    def trace(self, task: Task, limit: float | None = None) -> tuple[list[str], Any]:
        """Solves the whole curve, of one model of each student; by default in the bundle's time."""
        problem = self._problem
        if limit is not None:
            problem = problem.weighed(problem.file_bytes, self._latency_of(1, limit))
        with searches_kept(self._workspace, task):
            solutions = curve(problem, **self._search)
        write_json(task.folder / SOLUTIONS_NAME, to_plain(solutions))
        return [SOLUTIONS_NAME], {"gap": solutions[0].gap}

    def compare(self, task: Task, solutions: Sequence[Solution]) -> tuple[list[str], Any]:
        """Solves the curve of uniform 8 bits, and holds the other against it."""
        given = {name: self._search[name] for name in ("trials", "seed")}
        uniform8 = uniform8_curve(self._problem, **given)
        found = compare(solutions, uniform8, lambda s: (s.gap, self._problem.resampled_gap(s)))
        write_json(task.folder / SOLUTIONS_NAME, to_plain(uniform8))
        write_json(task.folder / COMPARISON_NAME, to_plain(found))
        return [SOLUTIONS_NAME, COMPARISON_NAME], {"points": len(uniform8)}

    def select(self, task: Task, known: Sequence[Solution]) -> tuple[list[str], Any]:
        """Solves the budget, knowing the curve; with several models of each, if they bring more."""
        solver = Solver(self._problem, **self._search)
        with searches_kept(self._workspace, task):
            solution = solver.solve(self.budget, known)
        chosen = Chosen(solution, Gain(1, 0.0, 0.0), solver.baseline(self.budget))
        for copies in range(2, max(map(len, self.catalogue.models.values())) + 1):
            found = self._with_copies(copies, known)
            if found and found.solution.score + found.gain.gap > (
                chosen.solution.score + chosen.gain.gap
            ):
                chosen = replace(found, baseline=chosen.baseline)
        write_json(task.folder / CHOSEN_NAME, to_plain(chosen))
        return [CHOSEN_NAME], {"gap": chosen.solution.gap, "copies": chosen.gain.copies}

    def _with_copies(self, copies: int, known: Sequence[Solution]) -> Chosen | None:
        """The best of so many models of each student; None where not even one of them fits."""
        problem = self._problem.weighed(self._size_of(copies), self._latency_of(copies))
        weighed = [replace(own, size=problem.file_bytes(own.choice)) for own in known]
        try:
            found = Solver(problem, **self._search).solve(self.budget, weighed)
        except BudgetError:
            return None
        models = {name: len(own) for name, own in self.catalogue.models.items()}
        gain = self._unseen_by_all.gain(found.weights, models, copies)
        if not self._workspace.packs_folds:
            gain = gain.times(self._seed_variance.share(found.weights))
        return Chosen(found, gain, None)

    @cached_property
    def _unseen_by_all(self) -> UnseenByAll:
        return self.catalogue.unseen_by_all()

    @cached_property
    def _seed_variance(self) -> SeedVariance:
        return self.catalogue.seed_variance()

    def write(self, task: Task, chosen: Chosen) -> tuple[list[str], Any]:
        """Writes a bundle, reads it back, scores it on `report`, and writes it with its score.

        The figures do not change the file's size, nor its tensors: it is scored before they are
        known. Until then it stands beside its place, where nobody takes it for the bundle.
        """
        solution, copies = chosen.solution, chosen.gain.copies
        choice, weights = solution.choice, solution.weights
        path = task.folder / BUNDLE_NAME
        remove_what_follows(self._workspace.run.root)
        members = [
            model.member(choice[name], weight)
            for name in choice
            for model, weight in self._shared(name, weights[name], copies)
        ]
        receipt, thresholds = self._receipt(choice, weights, copies), self._thresholds(solution)
        # Cut short, it leaves a file by whose name the next attempt removes it.
        beside = path.with_name(f".{path.name}.unscored{TEMPORARY_SUFFIX}")
        self._write_file(beside, members, receipt, thresholds)
        loaded = Bundle.load(beside)
        beside.unlink()
        scores = score(loaded, self._workspace.data.open("report"))
        figures = scores.compute() | scores.errors()
        gap_float, _ = self._on_report(weights, copies, quantized=False)
        receipt = replace(
            receipt,
            gap=figures["gap"],
            gap_error=figures["gap_error"],
            map=figures["map"],
            map_error=figures["map_error"],
            map_at_10=figures["map_at_10"],
            map_at_10_error=figures["map_at_10_error"],
            search_gap=solution.gap,
            search_gap_error=standard_error(self._problem.resampled_gap(solution)),
            copies=copies,
            copies_gain=chosen.gain.gap,
            copies_gain_error=chosen.gain.error,
            gap_float=gap_float,
            tags=tuple(_tags_scored(tags, figures) for tags in receipt.tags),
        )
        if chosen.baseline:
            receipt = self._against(receipt, chosen.baseline, scores.resampled_gap())
        self._write_file(path, members, receipt, thresholds)
        left_out = [
            models[0].receipt(UNIFORM8, 0.0)
            for name, models in self.catalogue.models.items()
            if name not in choice
        ]
        receipt = replace(
            receipt,
            bytes=path.stat().st_size,
            budget_bytes=self.budget,
            sha256=sha256_file(path),
            left_out=tuple(left_out),
            not_packed=tuple(self._workspace.config.external),
            latency=self.clip_times.receipt(
                {m.name: name for name in choice for m in self.catalogue.packed(name, copies)}
            ),
        )
        write_json(task.folder / RECEIPT_NAME, receipt.beside())
        config, schema = self._workspace.config, self._workspace.schema
        card = model_card(config.run, schema, self._clips, config.folds, receipt)
        write_bytes(task.folder / CARD_NAME, card.encode())
        return [BUNDLE_NAME, RECEIPT_NAME, CARD_NAME], {"gap": receipt.gap, "bytes": receipt.bytes}

    def _against(self, receipt: Receipt, baseline: Solution, drawn: np.ndarray) -> Receipt:
        """The receipt with what uniform 8 bits, one model of each, and their flat mean score.

        Args:
            receipt: so far.
            baseline: uniform 8 bits for all that fit.
            drawn: (draws,) GAP on `report` of the bundle, of each draw of its clips.
        """
        flat = dict.fromkeys(baseline.weights, 1 / len(baseline.weights))
        uniform8_gap, uniform8_drawn = self._on_report(baseline.weights, 1, quantized=True)
        flat_gap, flat_drawn = self._on_report(flat, 1, quantized=True)
        return replace(
            receipt,
            uniform8=(Baseline(baseline.size, baseline.gap, baseline.weights),),
            uniform8_gap=uniform8_gap,
            uniform8_gain_error=standard_error(drawn - uniform8_drawn),
            flat_gap=flat_gap,
            flat_gain_error=standard_error(drawn - flat_drawn),
        )

    def _thresholds(self, solution: Solution) -> Tensor | None:
        """Of each label, chosen on `search`, where the solution is of one model of each student."""
        if not self._has_thresholds:
            return None
        mixed, labels = self._problem.mixed(solution), self._problem.labels
        wanted = self._wanted_precision
        found = choose_thresholds(labels, mixed.labels, mixed.log_odds, wanted)
        return torch.from_numpy(found)

    def _write_file(
        self,
        path: Path,
        members: Sequence[BundleMember],
        receipt: Receipt,
        thresholds: Tensor | None,
    ) -> None:
        content = self._workspace.schema, members, receipt.in_file(), self._mix
        entropy = self._workspace.config.quantize.entropy
        write_bundle(path, *content, entropy=entropy, thresholds=thresholds)

    def _receipt(
        self, choice: Mapping[str, str], weights: Mapping[str, float], copies: int
    ) -> Receipt:
        """It without figures."""
        shared = {name: self._shared(name, weights[name], copies) for name in choice}
        return Receipt(
            members=tuple(
                model.receipt(choice[name], weight)
                for name in choice
                for model, weight in shared[name]
            ),
            hashes={
                "data": self._workspace.fingerprints,
                "students": {
                    model.name: model.job.trained.digest
                    for name in choice
                    for model, _ in shared[name]
                },
            },
            tags=(TagsReceipt(self._wanted_precision or 0.0),) if self._has_thresholds else (),
            seen=self._seen,
        )

    def _shared(
        self, student: str, weight: float, copies: int
    ) -> list[tuple[MeasuredModel, float]]:
        """The models that are packed of a student, each with its share of the weight."""
        models = self.catalogue.packed(student, copies)
        return [(model, weight / len(models)) for model in models]

    def _on_report(
        self, weights: Mapping[str, float], copies: int, *, quantized: bool
    ) -> tuple[float, np.ndarray]:
        """GAP@20 on `report` from stored predictions, and of each draw of its clips."""
        shared = [own for name in weights for own in self._shared(name, weights[name], copies)]
        members = [model.on_report(quantized=quantized) for model, _ in shared]
        scorer = WeightedScorer(members, self._labels_of_report, mix=self._mix)
        row = np.array([weight for _, weight in shared])
        return float(scorer.gap(row[None]).gap[0]), scorer.resampled_gap(row)


def _tags_scored(tags: TagsReceipt, figures: Mapping[str, float]) -> TagsReceipt:
    names = ("f1", "f1_error", "precision", "recall")
    return replace(tags, **{name: figures[name] for name in names})
