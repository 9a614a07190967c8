"""Stage `report`: what a run shows of itself, whole or stopped half way, for one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from common.codec import from_plain
from common.errors import UserError
from common.files import read_json
from common.messages import warn
from ensemble.blend import Blend
from quantize.selection.comparison import Comparison
from quantize.selection.problem import Solution
from records import Schema
from runs import RunError
from stages.config import LABELS, Config
from stages.distill import load_students
from stages.external.blends import BLEND_NAME
from stages.findings.curves import compare_on_report, score_packed
from stages.findings.evidence import Evidence, gather_evidence
from stages.findings.machine import describe_machine, prediction_speeds
from stages.findings.models import Model, finished, read_models, student_places, teacher_places
from stages.pack import CURVE_FOLDER, UNIFORM8_FOLDER
from stages.packing.bundles import BUNDLE_FOLDER, several_bundles
from stages.packing.catalogue import Catalogue
from stages.packing.packer import COMPARISON_NAME, SOLUTIONS_NAME
from stages.packing.receipt import RECEIPT_NAME, Receipt, read_receipt
from stages.stage import Done, list_stages, stage
from stages.summaries import Trained
from stages.teachers import load_teachers
from stages.workspace import Workspace

Found = TypeVar("Found")


@dataclass(frozen=True)
class Findings:
    """What there is of a run; what is not there yet is empty, or None.

    Attributes:
        folder: the run's.
        config: by which it is read.
        schema: of its data, with the labels' names where they are known.
        progress: how much of each stage is done.
        teachers: by member, those that were begun.
        students: the models that may be packed, by their names in a bundle.
        blends: with the models of `external`: those of `teachers` and of `bundle`.
        receipt: of the bundle.
        packed: GAP on `report` of its members, each as it is stored.
        comparisons: of the curve with uniform 8 bits, by split: `search`, `report`.
        evidence: how good the result is.
        speeds: clips a second at prediction, by student, or by member where there are none.
        machine: on which the page was made.
        notices: what is missing or no longer fits, each in a line.
        arguments: those of the command line by which the run was last worked on.
    """

    folder: Path
    config: Config
    schema: Schema
    progress: dict[str, Done]
    teachers: dict[str, Model]
    students: dict[str, Model]
    blends: dict[str, Blend] = field(default_factory=dict)
    receipt: Receipt | None = None
    packed: dict[str, float] = field(default_factory=dict)
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    evidence: Evidence | None = None
    speeds: dict[str, float] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    arguments: Sequence[str] = ()

    @property
    def distilled(self) -> dict[str, Model]:
        """The students that are trainings of their own, and not their member's on labels."""
        taught = {own.folder for own in self.teachers.values()}
        return {name: own for name, own in self.students.items() if own.folder not in taught}


@stage("report", help="one page of the run, as far as it has come")
def report(workspace: Workspace) -> Findings:
    """Reads what the run left; trains and measures nothing.

    It predicts `report` with the bundle and with what lies on the curve, and times the models.

    Raises:
        UserError: as in `Workspace.check_members`.
        RunError: no training was begun.
    """
    workspace.check_members()
    return _Reader(workspace).read()


def glance(workspace: Workspace) -> Findings:
    """Of the same what is written down: models, their figures, and the receipt.

    Raises:
        UserError: as in `Workspace.check_members`.
        RunError: no training was begun.
    """
    workspace.check_members()
    return _Reader(workspace).glance()


class _Reader:
    """Reads a run part by part; a part that cannot be read becomes a notice."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._root = workspace.run.root
        self._notices: list[str] = []

    def read(self) -> Findings:
        found, workspace = self.glance(), self._workspace
        config, teachers, students = workspace.config, found.teachers, found.students
        trained = self._trained()
        curve = self._solutions(CURVE_FOLDER) if found.receipt else []
        catalogue = self._catalogue(trained) if curve else None
        firsts = {name: own for name, own in students.items() if name in config.students}
        evidence = self._try(
            lambda: gather_evidence(workspace, teachers, students, found.receipt), None
        )
        return replace(
            found,
            schema=self._try(lambda: workspace.schema, found.schema),
            packed=self._packed(catalogue, found.receipt),
            comparisons=self._comparisons(catalogue, curve),
            evidence=evidence,
            speeds=self._try(lambda: prediction_speeds(workspace, firsts or teachers), {}),
            machine=describe_machine(config.device),
            notices=list(dict.fromkeys(self._notices)),
        )

    def glance(self) -> Findings:
        workspace = self._workspace
        teachers = read_models(teacher_places(workspace))
        students = self._students()
        if not teachers:
            raise RunError(f"{self._root}: no training was begun; run stage=teachers first")
        return Findings(
            self._root,
            workspace.config,
            workspace.planned_schema,
            {own.name: own.done(workspace) for own in list_stages() if own.done},
            teachers,
            students,
            self._blends(),
            self._receipt(students),
            notices=list(dict.fromkeys(self._notices)),
            arguments=workspace.arguments,
        )

    def _try(self, read: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return read()
        except UserError as error:
            self._notices.append(str(error))
            return otherwise

    def _students(self) -> dict[str, Model]:
        """Those that were begun; none as long as none is distilled of those that are to be."""
        found = read_models(student_places(self._workspace))
        begun = any(own.folder.parent.name == "students" for own in found.values())
        wanted = any(own.teacher != LABELS for own in self._workspace.config.students.values())
        return found if begun or not wanted else {}

    def _trained(self) -> Trained | None:
        """All students as they are by this configuration; what is missing becomes a notice."""
        workspace = self._workspace
        return self._try(lambda: load_students(workspace, load_teachers(workspace)), None)

    def _blends(self) -> dict[str, Blend]:
        """Those with the models that the configuration names, where they are weighed."""
        wanted = self._workspace.config.external.keys()
        found = {
            name: self._file(f"blend/{name}", BLEND_NAME, Blend) for name in ("teachers", "bundle")
        }
        return {
            name: own
            for name, own in found.items()
            if wanted and own and wanted <= own.members.keys()
        }

    def _receipt(self, students: dict[str, Model]) -> Receipt | None:
        folder = self._root / BUNDLE_FOLDER
        marker = finished(folder)
        if marker is None:
            several = several_bundles(self._workspace)
            if several:
                self._notices.append(
                    f"There are bundles of several budgets, which are not shown: "
                    f"{', '.join(path.parent.name for path in several)}; stage=pack budget="
                    f"{several[-1].parent.name} packs one for this page"
                )
                warn(self._notices[-1])
            return None
        receipt = self._try(lambda: read_receipt(marker.file(folder, RECEIPT_NAME)), None)
        if receipt is None:
            return None
        packed = receipt.hashes.get("students", {})
        now = {name: own.marker.digest for name, own in students.items() if own.marker}
        if any(now.get(name) != digest for name, digest in packed.items()):
            self._notices.append(
                "The bundle was packed from other students than lie here now, and is left out; "
                "run stage=pack again"
            )
            return None
        return receipt

    def _solutions(self, name: str) -> list[Solution]:
        return self._file(name, SOLUTIONS_NAME, list[Solution]) or []

    def _file(self, task: str, name: str, kind: type[Found]) -> Found | None:
        """A file of a task of the run, if that is done."""
        folder = self._root / task
        marker = finished(folder)
        if marker is None:
            return None

        def read() -> Found:
            path = marker.file(folder, name)
            return from_plain(kind, read_json(path), str(path), RunError)

        return self._try(read, None)

    def _catalogue(self, trained: Trained | None) -> Catalogue | None:
        if trained is None:
            return None
        return self._try(lambda: Catalogue(self._workspace, trained, "pack"), None)

    def _packed(self, catalogue: Catalogue | None, receipt: Receipt | None) -> dict[str, float]:
        if catalogue is None or receipt is None:
            return {}
        # Of copies the first has the student's name.
        students = self._workspace.config.students
        stored = {own.name: own.precision for own in receipt.members if own.name in students}
        return self._try(lambda: score_packed(self._workspace, catalogue, stored), {})

    def _comparisons(
        self, catalogue: Catalogue | None, curve: list[Solution]
    ) -> dict[str, Comparison]:
        on_search = self._file(UNIFORM8_FOLDER, COMPARISON_NAME, Comparison)
        if not curve or on_search is None:
            return {}
        found, uniform8 = {"search": on_search}, self._solutions(UNIFORM8_FOLDER)
        if catalogue is not None:

            def on_report() -> Comparison:
                return compare_on_report(self._workspace, catalogue, curve, uniform8)

            compared = self._try(on_report, None)
            found |= {"report": compared} if compared else {}
        return found
