"""What the process of a measurement does: a student by every recipe of storing it."""

from collections.abc import Callable, Iterator
from pathlib import Path

from safetensors.torch import load_file

from common.codec import from_plain, to_plain
from common.files import read_json, write_json
from families import FamilyModule
from quantize.bundle.layout import MemberLayout
from quantize.bundle.stored import to_tensors
from quantize.code_files import load_codes, save_codes
from quantize.feedback import codes_with_feedback, takes_feedback
from quantize.mixed import Form, mixed_recipes
from quantize.moments import input_moments
from quantize.precision import FLOAT32, UNIFORM8, Codes, quantize
from quantize.recipes import Recipe, large_tensors, recipes_of, tried_one_by_one
from quantize.sensitivity import tensor_losses
from quantize.state import QuantizedState, quantize_state
from runs import Predictions, RunError, Task, reported
from stages.jobs import WEIGHTS_NAME, Measurement, predictions_name
from stages.summaries import MeasurementSummary, RecipeFigures
from stages.training_work import build_model, predict
from training.inference import gap_of, labels_of

LAYOUTS_NAME = "layouts.json"
MIXED_NAME = "mixed.json"
# The codes that were rounded with error feedback.
ROUNDED_NAME = "rounded.safetensors"


def search_predictions_name(recipe: str) -> str:
    """The file of a student's predictions on `search` with its weights stored by this recipe."""
    return predictions_name(f"search-{recipe}")


def quantized_by_recipe(
    job: Measurement, model: FamilyModule, file: Callable[[str], Path], only: str | None = None
) -> Iterator[tuple[str, QuantizedState]]:
    """The names of the recipes that a job measures, with the weights as a bundle holds them.

    Args:
        job: whose weights.
        model: the student's module; on the meta device will do.
        file: gives the path of a file of the measurement: of `MIXED_NAME` and `ROUNDED_NAME`.
        only: one recipe's name, for that one alone.
    """
    state = load_file(job.trained.file(WEIGHTS_NAME))
    # Not rounded again: their last digits depend on the process.
    ready = load_codes(file(ROUNDED_NAME), state)
    for recipe in _recipes(job, model, file):
        if only in (None, recipe.name):
            how = recipe.precision, recipe.overrides, ready
            yield recipe.name, quantize_state(state, job.threshold, *how)


def _recipes(
    job: Measurement, model: FamilyModule, file: Callable[[str], Path]
) -> tuple[Recipe, ...]:
    place = file(MIXED_NAME)
    mixed = from_plain(list[Recipe], read_json(place), str(place), RunError)
    return (*_given(job, model), *mixed)


def _given(job: Measurement, model: FamilyModule) -> tuple[Recipe, ...]:
    """The recipes that the job itself names."""
    offered = job.precisions, job.group_precisions, job.threshold, job.memory_precisions
    return recipes_of(model, *offered)


def measure(job: Measurement, task: Task) -> None:
    """Quantizes a student by every recipe, and writes what that costs.

    Of each recipe: the predictions on `search`, made with the weights as a bundle gives them back,
    and in `layouts.json` the tensors that a bundle would hold. On `report` those of `uniform8`.
    """
    setting, on_report = job.setting, predictions_name("report")
    model = build_model(setting)
    search, report = (setting.data.open(name) for name in ("search", "report"))
    labels = labels_of(search)
    layouts, figures, files = {}, {}, [LAYOUTS_NAME, MIXED_NAME, ROUNDED_NAME, on_report]
    count = _prepare(job, model, task)
    quantized = quantized_by_recipe(job, model, task.folder.joinpath)
    for recipe, state in reported(quantized, task.folder, count):
        model.load_state_dict(state.dequantize())
        layout = MemberLayout.of(job.student, setting.family, setting.config, state, job.entropy)
        if recipe == FLOAT32:
            found = Predictions.load(job.trained.file(predictions_name("search")))
        else:
            found = predict(setting, model, search, job.batch_size, task.folder)
        if recipe == UNIFORM8:
            on_8_bits = predict(setting, model, report, job.batch_size, task.folder)
            on_8_bits.save(task.folder / on_report)
        files.append(search_predictions_name(recipe))
        found.save(task.folder / files[-1])
        layouts[recipe] = to_plain(layout)
        figures[recipe] = RecipeFigures(layout.tensor_bytes(), gap_of(labels, found))
    write_json(task.folder / LAYOUTS_NAME, layouts)
    truth = labels_of(report)
    quantized_gap, float_gap = (
        gap_of(truth, Predictions.load(path))
        for path in (task.folder / on_report, job.trained.file(on_report))
    )
    task.finish(files, MeasurementSummary(figures, quantized_gap, float_gap))


def _prepare(job: Measurement, model: FamilyModule, task: Task) -> int:
    """Writes mixed recipes, and the codes that recipes need which took training clips to find.

    Returns:
        How many recipes there are.
    """
    state = load_file(job.trained.file(WEIGHTS_NAME))
    model.load_state_dict(state)
    large = large_tensors(model, job.threshold)
    tried = tried_one_by_one(model, job.tensor_precisions, job.threshold)
    given = {(name, recipe.of(name)) for recipe in _given(job, model) for name in large}
    wanted = {pair for pair in given | set(tried) if takes_feedback(pair[1])}
    train = job.setting.open("train")
    moments = input_moments(model, train, job.batch_size, {name for name, _ in wanted})
    rounded = codes_with_feedback(state, moments, wanted)
    mixed = []
    if tried:
        codes = {pair: rounded.get(pair) or quantize(state[pair[0]], *pair) for pair in tried}
        losses = tensor_losses(model, train, job.batch_size, codes, moments)
        mixed = mixed_recipes(
            Form(*pair, _bytes(pair[0], found, job.entropy), losses[pair])
            for pair, found in codes.items()
        )
    recipes = (*_given(job, model), *mixed)
    used = {(name, recipe.of(name)) for recipe in recipes for name in large}
    save_codes(task.folder / ROUNDED_NAME, {p: c for p, c in rounded.items() if p in used})
    write_json(task.folder / MIXED_NAME, to_plain(mixed))
    return len(recipes)


def _bytes(name: str, codes: Codes, entropy: bool) -> int:
    """Of one tensor in a file."""
    tensors = to_tensors(QuantizedState({name: codes}, {}), entropy)
    return sum(tensor.nbytes for tensor in tensors.values())
