"""What the process of a measurement does: a student by every recipe of storing it."""

from collections.abc import Iterator

from safetensors.torch import load_file

from common.codec import to_plain
from common.files import write_json
from families import FamilyModule
from families.layers.groups import tensor_groups
from quantize.bundle.layout import MemberLayout
from quantize.precision import FLOAT32, UNIFORM8
from quantize.recipes import Recipe, recipes_of
from quantize.state import QuantizedState, quantize_state
from runs import Predictions, Task, reported
from stages.jobs import WEIGHTS_NAME, Measurement, predictions_name
from stages.summaries import MeasurementSummary
from stages.training_work import build_model, predict
from training.inference import gap_of, labels_of

LAYOUTS_NAME = "layouts.json"


def recipe_predictions_name(split: str, recipe: str) -> str:
    """The file of a student's predictions on a split with its weights stored by this recipe."""
    return predictions_name(f"{split}-{recipe}")


def quantized_by_recipe(
    job: Measurement, model: FamilyModule, only: str | None = None
) -> Iterator[tuple[str, QuantizedState]]:
    """The names of the recipes that a job measures, with the weights as a bundle holds them.

    Args:
        job: whose weights.
        model: the student's module; on the meta device will do.
        only: one recipe's name, for that one alone.
    """
    state = load_file(job.trained.file(WEIGHTS_NAME))
    groups = tensor_groups(model)
    for recipe in _recipes(job, model):
        if only in (None, recipe.name):
            overrides = recipe.overrides(groups)
            yield recipe.name, quantize_state(state, job.threshold, recipe.precision, overrides)


def _recipes(job: Measurement, model: FamilyModule) -> tuple[Recipe, ...]:
    offered = job.precisions, job.group_precisions, job.threshold, job.memory_precisions
    return recipes_of(model, *offered)


def measure(job: Measurement, task: Task) -> None:
    """Quantizes a student by every recipe, and writes what that costs.

    Of each recipe: the predictions on the split that is scored, made with the weights as a bundle
    gives them back. Where it is reported: in `layouts.json` the tensors that a bundle would hold,
    and the predictions of `uniform8` on `report`.
    """
    model = build_model(job.setting)
    splits = {name: job.setting.data.open(name) for name in job.splits}
    truths = {name: labels_of(split) for name, split in splits.items()}

    def predictions(recipe: str, split: str) -> Predictions:
        if recipe == FLOAT32:
            return Predictions.load(job.trained.file(predictions_name(split)))
        return predict(job.setting, model, splits[split], job.batch_size, task.folder)

    layouts, stored, gaps, files = {}, {}, {}, []
    quantized = quantized_by_recipe(job, model)
    for recipe, state in reported(quantized, task.folder, len(_recipes(job, model))):
        model.load_state_dict(state.dequantize())
        if job.scored:
            files.append(recipe_predictions_name(job.scored, recipe))
            found = predictions(recipe, job.scored)
            found.save(task.folder / files[-1])
            gaps[recipe] = gap_of(truths[job.scored], found)
        if job.reported:
            layout = _layout(job, state)
            layouts[recipe], stored[recipe] = to_plain(layout), layout.tensor_bytes()
        if job.reported and recipe == UNIFORM8:
            files.append(predictions_name("report"))
            predictions(recipe, "report").save(task.folder / files[-1])
    summary = MeasurementSummary(gaps, stored)
    if job.reported:
        files.append(LAYOUTS_NAME)
        write_json(task.folder / LAYOUTS_NAME, layouts)
        on_report = predictions_name("report")
        places = task.folder / on_report, job.trained.file(on_report)
        on_report_gaps = (gap_of(truths["report"], Predictions.load(place)) for place in places)
        summary = MeasurementSummary(gaps, stored, *on_report_gaps)
    task.finish(files, summary)


def _layout(job: Measurement, state: QuantizedState) -> MemberLayout:
    setting = job.setting
    return MemberLayout.of(job.student, setting.family, setting.config, state, job.entropy)
