"""A bundle and external models: their weights, and what they say together of a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ensemble import mix
from ensemble.blend import Blend
from ensemble.choice import Evidence
from records import Batch, Schema, Split
from runs import Predictions
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

Scored = Iterable[tuple[Batch, torch.Tensor]]


@dataclass(frozen=True)
class BundleBlend:
    """The weights of a bundle and of external models, and what these say of a split.

    Attributes:
        blend: the weights; those of `blend/bundle`.
        external: by name, the predictions of the split.
        digests: of all that these are made of.
    """

    blend: Blend
    external: Mapping[str, Predictions]
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
        external = {name: load_predictions(task, split.name) for name, task in submitted.items()}
        tasks = others.tasks()
        own = {name: bundle_task(workspace, bundle, others.clips[name]) for name in WEIGHED_ON}

        def evidence(name: str) -> Evidence:
            packed = {BUNDLE: load_predictions(own[name], name)}
            return Evidence(packed | others.predictions(name), others.labels(name))

        weights = weighed(workspace, "blend/bundle", [*own.values(), *tasks], evidence)
        used = [weights, *submitted.values()]
        return cls(read_blend(weights), external, {task.name: task.digest() for task in used})

    def batches(self, scored: Scored) -> Iterator[tuple[Batch, torch.Tensor]]:
        """The batches of the split, in its order, with the blend's log-odds (B, V).

        Args:
            scored: the same with those of the bundle.
        """
        weights = [self.blend.weights[name] for name in (BUNDLE, *self.external)]
        start = 0
        for batch, log_odds in scored:
            rows = slice(start, start + len(batch.ids))
            others = [own.select(rows).to_dense() for own in self.external.values()]
            members = torch.stack([log_odds.cpu(), *map(torch.from_numpy, others)])
            yield batch, mix(members, weights, self.blend.mix)
            start = rows.stop
