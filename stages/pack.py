"""Stage `pack`: members, precisions and weights under the budget; one file and its receipt."""

from collections.abc import Mapping
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
from stages.config import Config
from stages.distill import load_students
from stages.execute import Tasks
from stages.jobs import module_of
from stages.packing.bundles import BUNDLE_FOLDER, BUNDLE_NAME
from stages.packing.catalogue import Catalogue
from stages.packing.copies import Gain
from stages.packing.latency import ClipTimes
from stages.packing.outdated import remove_other_bundles
from stages.packing.packer import CHOSEN_NAME, COMPARISON_NAME, SOLUTIONS_NAME, Chosen, Packer
from stages.packing.receipt import RECEIPT_NAME, Receipt
from stages.stage import Done, stage
from stages.summaries import TrainingSummary
from stages.teachers import load_teachers
from stages.tuning.searches import search_inputs
from stages.workspace import Workspace
from training.device import choose_device

CURVE_FOLDER, UNIFORM8_FOLDER = "curve", "uniform8"
_MODULES = (
    "stages.packing.card",
    "stages.packing.catalogue",
    "stages.packing.copies",
    "stages.packing.latency",
    "stages.packing.measured",
    "stages.packing.packer",
    "stages.packing.receipt",
)
Found = TypeVar("Found")


@dataclass(frozen=True)
class Packed:
    """What stage `pack` made.

    Attributes:
        folder: the run's.
        bundle: the file.
        receipt: of the bundle.
        curve: the best bundle for every number of bytes; the packed one is on it, unless it is a
            flat mean that a smaller bundle beats.
        comparison: of the curve with that of uniform 8 bits, on `search`.
        sensitivity: see `Catalogue.sensitivity`.
        teachers: by student, how its member was trained on the labels.
        clip_times: what a clip takes in each student, where that is limited.
        further: by milliseconds the curves within other limits than the bundle's.
    """

    folder: Path
    bundle: Path
    receipt: Receipt
    curve: tuple[Solution, ...]
    comparison: Comparison
    sensitivity: list[dict[str, Any]]
    teachers: dict[str, TrainingSummary]
    clip_times: ClipTimes
    further: dict[str, tuple[Solution, ...]]


def _tasks(config: Config) -> dict[str, str]:
    """The tasks of the bundles by their budgets: of several, each has a folder of its own."""
    if len(config.budgets) == 1:
        return dict.fromkeys(config.budgets, BUNDLE_FOLDER)
    return {name: f"{BUNDLE_FOLDER}/{name}" for name in config.budgets}


@stage(
    "pack",
    help="quantize, choose under the budget, write bundle and receipt",
    needs=("distill",),
    done=lambda workspace: Done.below(workspace.run.root, _tasks(workspace.config).values()),
)
def pack(workspace: Workspace) -> Packed | tuple[Packed, ...]:
    """Writes `bundle/bundle.safetensors` and `bundle/receipt.json`.

    Of several budgets each has a folder below `bundle/`. What is there afterwards is what was asked
    for: the bundles of other budgets, and what was made of them, are removed.

    Everything is chosen on `search`, on predictions of the quantized weights; the figures of the
    receipt are of `report`, and its `gap` of the file as read back. Another budget is solved from
    what was measured for the first, without the models.

    Raises:
        RunError: a teacher or a student is missing.
        BudgetError: no member fits a budget; older bundles stay.
        BundleError: there is no precision of a name, or weights hold NaN or an infinity.
    """
    choose_device(workspace.config.device)
    teachers = load_teachers(workspace)
    packer = Packer(workspace, Catalogue(workspace, load_students(workspace, teachers)))
    tasks = Tasks(workspace)
    # The budget is not among what the curve depends on.
    inputs = search_inputs(workspace, packer.catalogue.tasks)
    thresholds = workspace.config.pack.thresholds
    file = [VERSION, *Receipt.names_in_file(), *([] if thresholds == "none" else [THRESHOLDS])]
    inputs |= {"schema": workspace.schema, "file": file}
    unlimited, inputs = inputs, inputs | packer.clip_times.inputs()
    traced = tasks.of_work(CURVE_FOLDER, inputs, packer.trace, _MODULES)
    solutions = _read(traced, SOLUTIONS_NAME, tuple[Solution, ...])
    compared = tasks.of_work(
        UNIFORM8_FOLDER,
        {**inputs, "curve": traced.digest()},
        lambda task: packer.compare(task, solutions),
        _MODULES,
    )
    further = {
        str(limit): _traced_within(tasks, packer, unlimited, limit)
        for limit in packer.clip_times.limits[1:]
    }
    bundles = _tasks(workspace.config)
    packers = {name: packer.under(count) for name, count in workspace.config.budgets.items()}
    chosen = {
        name: _select(
            tasks, own, traced, solutions, bundles[name].replace(BUNDLE_FOLDER, "selection")
        )
        for name, own in packers.items()
    }
    remove_other_bundles(workspace.run.root, set(bundles.values()))
    comparison = _read(compared, COMPARISON_NAME, Comparison)
    sensitivity = packer.catalogue.sensitivity()
    summaries = {
        name: teachers.summary(student.member)
        for name, student in workspace.config.students.items()
    }
    packed = []
    for name, own in packers.items():
        task = _write(tasks, own, chosen[name], bundles[name])
        solution = _read(chosen[name], CHOSEN_NAME, Chosen).solution
        packed.append(
            Packed(
                workspace.run.root,
                task.file(BUNDLE_NAME),
                _read(task, RECEIPT_NAME, Receipt),
                front([*solutions, solution]),
                comparison,
                sensitivity,
                summaries,
                packer.clip_times,
                further,
            )
        )
    return packed[0] if len(packed) == 1 else tuple(packed)


def _traced_within(
    tasks: Tasks, packer: Packer, inputs: Mapping[str, Any], limit: float
) -> tuple[Solution, ...]:
    """The curve within further milliseconds."""
    inputs = {**inputs, **packer.clip_times.inputs(limit)}
    name = f"{CURVE_FOLDER}-{limit}ms"
    traced = tasks.of_work(name, inputs, lambda task: packer.trace(task, limit), _MODULES)
    return _read(traced, SOLUTIONS_NAME, tuple[Solution, ...])


def _select(
    tasks: Tasks, packer: Packer, traced: Task, solutions: tuple[Solution, ...], name: str
) -> Task:
    """What is packed under a budget, as a task of this name."""
    catalogue = packer.catalogue
    inputs = {
        "budget": packer.budget,
        "curve": traced.digest(),
        # The curve is of one model of each, and may be the same with others beside them.
        "models": [task.digest() for task in catalogue.tasks],
        "chosen_by": [task.digest() for task in catalogue.students.chosen_by()],
        "said": [field.name for kind in (Chosen, Gain) for field in fields(kind)],
        **packer.clip_times.inputs(),
    }
    return tasks.of_work(name, inputs, lambda task: packer.select(task, solutions), _MODULES)


def _write(tasks: Tasks, packer: Packer, selected: Task, name: str) -> Task:
    """The bundle and its receipt, as a task of this name."""
    chosen, workspace = _read(selected, CHOSEN_NAME, Chosen), tasks.workspace
    inputs: dict[str, Any] = {
        "selection": selected.digest(),
        "thresholds": workspace.config.pack.thresholds,
        "schema": workspace.schema,
        "fingerprint": workspace.fingerprints["report"],
    }
    # Of a choice within a limit the receipt says what a clip takes, and where.
    inputs |= {"latency": packer.clip_times} if packer.clip_times.limits else {}
    if workspace.config.external:
        inputs["external"] = list(workspace.config.external)
    models = [packer.catalogue.models[own][0] for own in chosen.solution.choice]
    families = {model.job.setting.family for model in models}
    modules = (
        "stages.packing.bundles",
        "stages.packing.measurement_work",
        *map(module_of, sorted(families)),
    )
    return tasks.of_work(
        name, inputs, lambda task: packer.write(task, chosen), (*_MODULES, *modules)
    )


def _read(task: Task, name: str, kind: type[Found]) -> Found:
    path = task.file(name)
    return from_plain(kind, read_json(path), str(path), RunError)
