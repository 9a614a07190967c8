"""Stage `evaluate`: the scores of a bundle on labeled shards."""

from __future__ import annotations

from quantize.bundle.inference import Bundle
from stages.bundles import choose_split, find_bundle, score
from stages.stage import stage
from stages.workspace import Workspace
from training.device import choose_device


@stage("evaluate", help="score a bundle on labeled shards", needs=("pack",))
def evaluate(workspace: Workspace) -> dict[str, float | int]:
    """The scores of a bundle on a labeled split (`split=`, by default `report`), and its clips.

    Raises:
        ConfigError: no bundle or no data.
        records.DataError: there is no such split, a shard is damaged or of another schema than the
            bundle's, or no clip has a label.
    """
    bundle = Bundle.load(find_bundle(workspace), choose_device(workspace.config.device))
    return score(bundle, choose_split(workspace, bundle.schema, "report"))
