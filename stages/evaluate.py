"""Stage `evaluate`: the scores of a bundle on labeled shards."""

from pathlib import Path

from common.messages import say, warn
from common.problems import quoted
from quantize.bundle.content import read_bundle
from quantize.bundle.inference import Bundle
from records import Split
from records.seen import count_seen
from stages.packing.bundles import choose_split, find_bundle
from stages.packing.receipt import seen_by
from stages.packing.scored import score
from stages.parts.parted import Parted
from stages.stage import stage
from stages.workspace import Workspace
from training.device import choose_device

_MOST_NAMED = 3


@stage("evaluate", help="score a bundle on labeled shards", needs=("pack",))
def evaluate(workspace: Workspace) -> dict[str, float | int]:
    """The scores of a bundle on a labeled split (`split=`, by default `report`).

    A split of more clips than `parts.clips` is scored in parts, each a task of its own; they are
    removed when there are scores.

    Returns:
        They, their standard errors, and how many `videos` there are; of these `seen` are among
        those that the bundle was trained or chosen on, where its receipt says so. A score on such
        clips is no result.

    Raises:
        ConfigError: no bundle or no data.
        BundleError: it is no bundle.
        records.DataError: there is no such split, a shard is damaged or of another schema than the
            bundle's, or no clip has a label.
        JobsFailed: a part failed; the others are done.
    """
    path = find_bundle(workspace)
    content = read_bundle(path)
    split = choose_split(workspace, content.schema, "report")
    parted = Parted(workspace, path, content, split, "scores")
    config = workspace.config
    bundle = (
        None
        if parted.is_cut
        else Bundle.load(path, choose_device(config.device), precision=config.precision)
    )
    say(_contents(split, workspace.data_root.path))
    seen = seen_by(content.receipt)
    count = count_seen(split, seen)
    if not seen:
        warning = f"{path} does not say which clips it has seen: these may be among them"
    else:
        warning = (
            f"warning: {count} of these {len(split)} clips are among those that the bundle was "
            "trained or chosen on: the score is no result; name others, such as "
            "data.report.shards='report-*'"
        )
    if count or not seen:
        warn(warning)
    scores = score(bundle, split) if bundle else parted.scores()
    found = scores.compute() | scores.errors()
    parted.remove()
    return found | ({"seen": count} if seen else {})


def _contents(split: Split, root: Path) -> str:
    """How many clips of which files."""
    names = [quoted(path.relative_to(root).as_posix()) for path in split.shards]
    more = len(names) - _MOST_NAMED
    listed = ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    files = f"{len(names)} file{'s'[: len(names) != 1]}"
    return f"split {split.name}: {len(split)} clips in {files}: {listed}"
