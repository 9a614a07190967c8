"""A trained model that was measured by every recipe, as a bundle may take it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from common.codec import from_plain, to_plain
from common.files import read_json
from families import config_from_dict, registry
from families.base import HostLayer
from families.registry import meta_module
from quantize.bundle.content import BundleMember
from quantize.bundle.layout import MemberLayout
from quantize.errors import BundleError
from runs import Predictions, Task
from stages.jobs import Measurement, predictions_name
from stages.packing.measurement_work import LAYOUTS_NAME, quantized_by_recipe
from stages.packing.receipt import MemberReceipt
from stages.summaries import MeasurementSummary, read_summary


@dataclass(frozen=True, eq=False)
class MeasuredModel:
    """One of the models of a student that there are to be packed.

    Attributes:
        name: what it is called in a bundle.
        host: what the model on whose hidden layer it stands is called there, if it does.
        job: its measurement.
        task: that one's finished task.
    """

    name: str
    host: str | None
    job: Measurement
    task: Task

    @cached_property
    def figures(self) -> MeasurementSummary:
        """What it costs and scores."""
        return read_summary(self.task, MeasurementSummary)

    @cached_property
    def layouts(self) -> dict[str, MemberLayout]:
        """By recipe, its tensors as a bundle would hold them."""
        found = read_json(self.task.file(LAYOUTS_NAME))
        layouts = from_plain(dict[str, MemberLayout], found, "layout", BundleError)
        return {
            recipe: MemberLayout(self.name, layout.family, self.config, layout.tensors)
            for recipe, layout in layouts.items()
        }

    def on_report(self, *, quantized: bool) -> Predictions:
        """Predictions on `report`: at uniform8, or of the float32 weights."""
        source = self.task if quantized else self.job.trained
        return Predictions.load(source.file(predictions_name("report")))

    def member(self, recipe: str, weight: float) -> BundleMember:
        """It as a bundle takes it: with the codes that were measured."""
        setting = self.job.setting
        model = meta_module(setting.family, setting.config, setting.data.schema)
        ((_, state),) = quantized_by_recipe(self.job, model, self.task.file, only=recipe)
        return BundleMember(self.name, setting.family, self.config, weight, state)

    def receipt(self, recipe: str, weight: float) -> MemberReceipt:
        """What the receipt of a bundle says of it."""
        found, family = self.figures, self.job.setting.family
        stored = found.bytes[recipe]
        return MemberReceipt(self.name, family, recipe, stored, weight, found.gap, found.gap_float)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Its hyperparameters, with its host's name in the bundle."""
        setting = self.job.setting
        if setting.host is None or self.host is None:
            return setting.config
        host = meta_module(setting.host.family, setting.host.config, setting.data.schema)
        family = registry.get(setting.family).module
        config = config_from_dict(setting.family, setting.config)
        return to_plain(family.fitted(config, None, HostLayer(self.host, host.hidden_size)))
