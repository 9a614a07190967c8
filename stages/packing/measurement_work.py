"""What the process of a measurement does: a student by every recipe of storing it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
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
from records import Split
from runs import Predictions, RunError, Task, append_log, append_progress, reported
from stages.jobs import WEIGHTS_NAME, Measurement, predictions_name
from stages.summaries import MeasurementSummary
from stages.training_work import build_model, predict_states
from training.inference import gap_of, labels_of, models_at_once

LAYOUTS_NAME = "layouts.json"
MIXED_NAME = "mixed.json"
# The codes that were rounded with error feedback.
ROUNDED_NAME = "rounded.safetensors"


def recipe_predictions_name(split: str, recipe: str) -> str:
    """The file of a student's predictions on a split with its weights stored by this recipe."""
    return predictions_name(f"{split}-{recipe}")


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

    Of each recipe: the predictions on the split that is scored, made with the weights as a bundle
    gives them back. Where it is reported: in `layouts.json` the tensors that a bundle would hold,
    and the predictions of `uniform8` on `report`.
    """
    model = build_model(job.setting)
    splits = {name: job.setting.open(name) for name in job.splits if name != "train"}
    truths = {name: labels_of(split) for name, split in splits.items()}
    layouts, stored, gaps, files = {}, {}, {}, [MIXED_NAME, ROUNDED_NAME]
    count = _prepare(job, model, task)
    quantized = quantized_by_recipe(job, model, task.folder.joinpath)
    predicted = _predicted(job, model, quantized, splits, task.folder)
    for recipe, state, found in reported(predicted, task.folder, count):
        if job.scored:
            files.append(recipe_predictions_name(job.scored, recipe))
            found[job.scored].save(task.folder / files[-1])
            gaps[recipe] = gap_of(truths[job.scored], found[job.scored])
            append_log(task.folder, f"{recipe}: GAP {gaps[recipe]:.5f} on {job.scored}")
        if job.reported:
            layout = _layout(job, state)
            layouts[recipe], stored[recipe] = to_plain(layout), layout.tensor_bytes()
        if job.reported and recipe == UNIFORM8:
            files.append(predictions_name("report"))
            found["report"].save(task.folder / files[-1])
    append_progress(task.folder, count, count)
    summary = MeasurementSummary(gaps, stored)
    if job.reported:
        files.append(LAYOUTS_NAME)
        write_json(task.folder / LAYOUTS_NAME, layouts)
        on_report = predictions_name("report")
        places = task.folder / on_report, job.trained.file(on_report)
        on_report_gaps = (gap_of(truths["report"], Predictions.load(place)) for place in places)
        summary = MeasurementSummary(gaps, stored, *on_report_gaps)
    task.finish(files, summary)


def _predicted(
    job: Measurement,
    model: FamilyModule,
    quantized: Iterable[tuple[str, QuantizedState]],
    splits: Mapping[str, Split],
    folder: Path,
) -> Iterator[tuple[str, QuantizedState, dict[str, Predictions]]]:
    """Recipes and states, with what is asked for of their predictions on `splits`, by split.

    As many at a time as fit into memory: the clips are read once for them. What is stored in
    float32 has predicted already.
    """
    left = iter(quantized)
    at_once = min(models_at_once(model, own, job.setting.stored_labels) for own in splits.values())
    while some := dict(islice(left, at_once)):
        found: dict[str, dict[str, Predictions]] = {recipe: {} for recipe in some}
        for name, split in splits.items():
            asked = [r for r in some if r != FLOAT32 and (name == job.scored or r == UNIFORM8)]
            states = (some[recipe].dequantize() for recipe in asked)
            given = job.setting, model, states, split, job.batch_size, folder
            for recipe, predictions in zip(asked, predict_states(*given), strict=True):
                found[recipe][name] = predictions
        if job.scored and FLOAT32 in found:
            place = job.trained.file(predictions_name(job.scored))
            found[FLOAT32][job.scored] = Predictions.load(place)
        yield from ((recipe, state, found[recipe]) for recipe, state in some.items())


def _layout(job: Measurement, state: QuantizedState) -> MemberLayout:
    setting = job.setting
    return MemberLayout.of(job.student, setting.family, setting.config, state, job.entropy)


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
