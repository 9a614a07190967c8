"""The process that measures a student's recipes: `python -m stages.measure_worker FOLDER`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from common.files import write_json
from families import FamilyModule, build
from families.layers.groups import tensor_groups
from metrics import Labels
from quantize.bundle.layout import MemberLayout
from quantize.precision import FLOAT32, UNIFORM8
from quantize.recipes import Recipe, recipes_of
from quantize.state import quantize_state
from runs import Predictions, Task
from stages.jobs import WEIGHTS_NAME, MemberJob, predictions_name
from stages.worker import load_job, predict, run_worker
from training.device import choose_device
from training.inference import gap_of, labels_of

LAYOUTS_NAME = "layouts.json"


def search_predictions_name(recipe: str) -> str:
    """The file of a student's predictions on `search` with its weights stored by this recipe."""
    return predictions_name(f"search-{recipe}")


def measure_recipes(folder: Path) -> None:
    """Quantizes a student by every recipe, and writes what that costs.

    Of each recipe: the predictions on `search`, made with the weights as a bundle gives them back,
    and in `layouts.json` the tensors that a bundle would hold. On `report` those of `uniform8`.
    """
    job = load_job(folder)
    task = Task(job.task, folder, job.inputs())
    with task.lock():
        if not task.is_done():
            _measure(job, task)


def _measure(job: MemberJob, task: Task) -> None:
    trained = Path(job.extra["folder"])
    state = load_file(trained / WEIGHTS_NAME)
    model = build(job.family, job.config, job.data.schema).to(choose_device(job.device))
    search, report = (job.data.open(name) for name in ("search", "report"))
    labels = labels_of(search)
    layouts, figures, files = {}, {}, [LAYOUTS_NAME, predictions_name("report")]
    for recipe in recipes_of(
        model, job.extra["precisions"], job.extra["group_precisions"], job.extra["threshold"]
    ):
        layout = _store(job, recipe, state, model)
        if recipe.name == FLOAT32:
            found = Predictions.load(trained / predictions_name("search"))
        else:
            found = predict(job, model, search)
        if recipe.name == UNIFORM8:
            predict(job, model, report).save(task.folder / predictions_name("report"))
        files.append(search_predictions_name(recipe.name))
        found.save(task.folder / files[-1])
        layouts[recipe.name] = layout.to_dict()
        figures[recipe.name] = {"bytes": layout.tensor_bytes(), "gap": gap_of(labels, found)}
    write_json(task.folder / LAYOUTS_NAME, layouts)
    task.finish(files, {"recipes": figures, **_on_report(job, task, labels_of(report))})


def _store(
    job: MemberJob, recipe: Recipe, state: Mapping[str, Tensor], model: FamilyModule
) -> MemberLayout:
    """Gives the model the weights that a bundle would give back; returns what that would hold."""
    quantized = quantize_state(
        state, job.extra["threshold"], recipe.precision, recipe.overrides(tensor_groups(model))
    )
    model.load_state_dict(quantized.dequantize())
    return MemberLayout.of(
        job.extra["student"], job.family, job.config, quantized, job.extra["entropy"]
    )


def _on_report(job: MemberJob, task: Task, labels: Labels) -> dict[str, float]:
    """GAP on `report` at `uniform8` and of the float32 weights."""
    name = predictions_name("report")
    return {
        "gap": gap_of(labels, Predictions.load(task.folder / name)),
        "gap_float": gap_of(labels, Predictions.load(Path(job.extra["folder"]) / name)),
    }


if __name__ == "__main__":
    run_worker(measure_recipes)
