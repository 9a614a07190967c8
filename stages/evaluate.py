"""Stage `evaluate`: the scores of a bundle on labeled shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stages.bundles import choose_split, load_bundle, score
from stages.stage import stage
from stages.workspace import Workspace


@dataclass(frozen=True)
class Evaluation:
    """Scores by name, and how many clips they are of."""

    scores: Mapping[str, float | int]


@stage("evaluate", help="score a bundle on labeled shards", needs=("pack",))
def evaluate(workspace: Workspace) -> Evaluation:
    """Scores a bundle on a labeled split (`split=`, by default `report`).

    Raises:
        ConfigError: no bundle, no data, or no such split.
        records.DataError: a shard is damaged or of another schema than the bundle's, or no clip
            has a label.
    """
    bundle = load_bundle(workspace)
    return Evaluation(score(bundle, choose_split(workspace, bundle.schema, "report")))
