"""A bundle and external models: their weights, and what is mixed by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ensemble.blend import Blend
from ensemble.choice import Evidence
from records import Schema, Split
from runs import Predictions, Task
from stages.external.blends import (
    WEIGHED_ON,
    ExternalModels,
    load_predictions,
    read_blend,
    weighed,
)
from stages.external.bundle import bundle_task
from stages.external.config import BUNDLE
from stages.external.predictions import ClipSet
from stages.workspace import Workspace


@dataclass(frozen=True)
class BundleBlend:
    """The weights of a bundle and of external models, and what these say of a split.

    Attributes:
        split: its name.
        blend: the weights; those of `blend/bundle`.
        tasks: by name, those that have what the external models say of the split.
        digests: of all that these are made of.
    """

    split: str
    blend: Blend
    tasks: Mapping[str, Task]
    digests: Mapping[str, str]

    @classmethod
    def of(cls, workspace: Workspace, bundle: Path, schema: Schema, split: Split) -> BundleBlend:
        """Of the run's external models, searched on `search`.

        Args:
            workspace: the run.
            bundle: the file.
            schema: the bundle's.
            split: what is predicted.

        Raises:
            ConfigError: the predictions of an external model are not as they ought to be, or the
                bundle's models were trained on clips of `search`.
        """
        others = ExternalModels(workspace, schema)
        # What is missing there is said before anything is computed.
        submitted = others.tasks_of(ClipSet(split.name, (split,)))
        tasks = others.tasks()
        own = {name: bundle_task(workspace, bundle, others.clips[name]) for name in WEIGHED_ON}

        def evidence(name: str) -> Evidence:
            packed = {BUNDLE: load_predictions(own[name], name)}
            return Evidence(packed | others.predictions(name), others.labels(name))

        weights = weighed(workspace, "blend/bundle", [*own.values(), *tasks], evidence)
        used = [weights, *submitted.values()]
        digests = {task.name: task.digest() for task in used}
        return cls(split.name, read_blend(weights), submitted, digests)

    def predictions(self) -> dict[str, Predictions]:
        """Of the split, by external model."""
        return {name: load_predictions(task, self.split) for name, task in self.tasks.items()}
