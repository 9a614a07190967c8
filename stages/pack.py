"""Stage `pack`: members, precisions and weights under the budget; one file and its receipt."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from common.codec import from_plain
from common.files import read_json
from quantize.bundle.manifest import VERSION
from quantize.bundle.tags import THRESHOLDS
from quantize.selection.comparison import Comparison
from quantize.selection.curve import front
from quantize.selection.problem import Solution
from runs import RunError, Task
from stages.bundles import BUNDLE_FOLDER, BUNDLE_NAME
from stages.catalogue import Catalogue
from stages.copies import Gain
from stages.distill import load_students
from stages.ensemble import search_inputs
from stages.execute import Tasks
from stages.jobs import module_of
from stages.packer import CHOSEN_NAME, COMPARISON_NAME, SOLUTIONS_NAME, Chosen, Packer
from stages.receipt import RECEIPT_NAME, Receipt
from stages.stage import Done, stage
from stages.summaries import TrainingSummary
from stages.teachers import load_teachers
from stages.workspace import Workspace

CURVE_FOLDER, UNIFORM8_FOLDER = "curve", "uniform8"
_MODULES = (
    "stages.card",
    "stages.catalogue",
    "stages.copies",
    "stages.measured",
    "stages.packer",
    "stages.receipt",
)
Found = TypeVar("Found")


@dataclass(frozen=True)
class Packed:
    """What stage `pack` made.

    Attributes:
        folder: the run's.
        receipt: of the bundle.
        curve: the best bundle for every number of bytes; the packed one is on it, unless it is a
            flat mean that a smaller bundle beats.
        comparison: of the curve with that of uniform 8 bits, on `search`.
        sensitivity: see `Catalogue.sensitivity`.
        teachers: by student, how its member was trained on the labels.
    """

    folder: Path
    receipt: Receipt
    curve: tuple[Solution, ...]
    comparison: Comparison
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
    packer = Packer(workspace, Catalogue(workspace, load_students(workspace, teachers)))
    tasks = Tasks(workspace)
    # The budget is not among what the curve depends on.
    inputs = search_inputs(workspace, packer.catalogue.tasks)
    thresholds = workspace.config.pack.thresholds
    file = [VERSION, *Receipt.names_in_file(), *([] if thresholds == "none" else [THRESHOLDS])]
    inputs |= {"schema": workspace.schema, "file": file}
    traced = tasks.of_work(CURVE_FOLDER, inputs, packer.trace, _MODULES)
    solutions = _read(traced, SOLUTIONS_NAME, tuple[Solution, ...])
    compared = tasks.of_work(
        UNIFORM8_FOLDER,
        {**inputs, "curve": traced.digest()},
        lambda task: packer.compare(task, solutions),
        _MODULES,
    )
    selected = tasks.of_work(
        "selection",
        {
            "budget": packer.budget,
            "curve": traced.digest(),
            # The curve is of one model of each, and may be the same with others beside them.
            "models": [task.digest() for task in packer.catalogue.tasks],
            "chosen_by": [task.digest() for task in packer.catalogue.students.chosen_by()],
            "said": [field.name for kind in (Chosen, Gain) for field in fields(kind)],
        },
        lambda task: packer.select(task, solutions),
        _MODULES,
    )
    chosen = _read(selected, CHOSEN_NAME, Chosen)
    inputs = {
        "selection": selected.digest(),
        "thresholds": thresholds,
        "schema": workspace.schema,
        "fingerprint": workspace.fingerprints["report"],
    }
    models = [packer.catalogue.models[name][0] for name in chosen.solution.choice]
    families = {model.job.setting.family for model in models}
    task = tasks.of_work(
        BUNDLE_FOLDER,
        inputs,
        lambda task: packer.write(task, chosen),
        (*_MODULES, "stages.bundles", "stages.measurement_work", *map(module_of, sorted(families))),
    )
    receipt = task.file(RECEIPT_NAME)
    return Packed(
        workspace.run.root,
        from_plain(Receipt, read_json(receipt), str(receipt), RunError),
        front([*solutions, chosen.solution]),
        _read(compared, COMPARISON_NAME, Comparison),
        packer.catalogue.sensitivity(),
        {
            name: teachers.summary(student.member)
            for name, student in workspace.config.students.items()
        },
    )


def _read(task: Task, name: str, kind: type[Found]) -> Found:
    path = task.file(name)
    return from_plain(kind, read_json(path), str(path), RunError)
