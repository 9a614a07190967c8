"""Stage `predict`: a bundle and shards, to a submission file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.codec import to_plain
from common.errors import UserError
from common.files import atomic_path, read_json, sha256_file, write_json
from ensemble.blend import Blend
from quantize.bundle.content import read_bundle
from quantize.bundle.inference import Bundle
from records import Split, check_ids
from runs import content_key
from stages.external.bundle_blend import BundleBlend
from stages.external.mixed import mixed
from stages.packing.bundles import choose_split, find_bundle
from stages.packing.outdated import submission_names
from stages.packing.scored import Scored, scored_batches
from stages.parts.parted import Parted
from stages.parts.rows import write_header, write_rows
from stages.stage import stage
from stages.workspace import Workspace
from training.device import choose_device


@dataclass(frozen=True)
class Submission:
    """The file of a submission; where it is of external models too, their weights and scores."""

    path: Path
    blend: Blend | None = None


@stage("predict", help="bundle and shards to a submission file", needs=("pack",))
def predict(workspace: Workspace) -> Submission:
    """Writes the submission of a split (`split=`, by default `test`).

    `format=kaggle`: `VideoId,LabelConfidencePairs`, 20 pairs of label and probability, best first.
    `format=top10`: `VideoId,Labels`, ten labels, best first, separated by spaces.

    A split of more clips than `parts.clips` is predicted in parts, each a task of its own; they are
    removed when the file stands.

    A record of what it was made from lies in the run's folder; the file is not written again as
    long as it is still the one. With `external` it is a blend, whose weights and scores are in the
    record too.

    Raises:
        ConfigError: no bundle or no data, or the predictions of an external model are not as they
            ought to be.
        records.DataError: there is no such split, a shard is damaged or of another schema than the
            bundle's, or an id is there twice.
        JobsFailed: a part failed; the others are done.
    """
    config = workspace.config
    found = find_bundle(workspace)
    content = read_bundle(found)
    split = choose_split(workspace, content.schema, "test")
    root = workspace.run.root
    submission, record = (root / name for name in submission_names(split.name))
    output = Path(config.output or submission)
    blended = BundleBlend.of(workspace, found, content.schema, split) if config.external else None
    precision = config.precision
    key = content_key(
        {
            "bundle": sha256_file(found),
            "data": split.fingerprint,
            "format": config.format,
            "device": config.device,
            **({} if precision == "float32" else {"precision": precision}),
            "extensions": sorted(extension.digest for extension in workspace.extensions),
            **({"blend": blended.digests} if blended else {}),
        }
    )
    made: dict[str, Any] = {"key": key, "own": found.resolve().is_relative_to(root.resolve())}
    if blended:
        made |= {"blend": to_plain(blended.blend), "not_packed": list(blended.tasks)}
    parted = Parted(workspace, found, content, split, config.format, blended)
    if not (output.is_file() and _recorded(record) == {**made, "sha256": sha256_file(output)}):
        if parted.is_cut:
            parted.write_submission(output)
        else:
            bundle = Bundle.load(found, choose_device(config.device), precision=precision)
            scored: Scored = scored_batches(bundle, split, f"predict {split.name}")
            if blended:
                scored = mixed(scored, blended.blend, blended.predictions())
            write_submission(output, scored, split, config.format)
        write_json(record, {**made, "sha256": sha256_file(output)})
    parted.remove()
    return Submission(output, blended.blend if blended else None)


def _recorded(record: Path) -> object:
    try:
        return read_json(record)
    except UserError:
        return None


def write_submission(output: Path, scored: Scored, split: Split, style: str) -> None:
    """Writes a row at a time; equal log-odds rank by label.

    Args:
        output: the file.
        scored: the batches of the split, with log-odds (B, V).
        split: what is predicted.
        style: as in `format=`.

    Raises:
        records.DataError: a shard is damaged, or an id is there twice.
    """
    place = atomic_path(output)
    with place as beside, beside.open("w", newline="", encoding="utf-8") as file:
        write_header(file, style)
        check_ids([(split, write_rows(file, scored, style))])
