"""A bundle over shards: what stages `pack`, `predict` and `evaluate` share."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from common.errors import ConfigError
from common.problems import quoted
from common.threads import pool_threads
from metrics import StreamingScores
from quantize.bundle.inference import Bundle
from quantize.errors import BundleError
from records import Batch, DataError, Schema, Split, SplitSpec, iterate_batches
from runs import track
from stages.packing.receipt import check_receipt
from stages.workspace import Workspace

BUNDLE_FOLDER = "bundle"
BUNDLE_NAME = "bundle.safetensors"
_BATCH_CLIPS = 256
_BATCHES_AT_ONCE = 4  # each takes the memory of a forward pass


def find_bundle(workspace: Workspace) -> Path:
    """The file of `bundle=`, by default the run's own.

    Raises:
        ConfigError: there is no such file, or several; or the receipt beside it is of another.
    """
    folder = workspace.run.root / BUNDLE_FOLDER
    path = Path(workspace.config.bundle or folder / BUNDLE_NAME)
    several = several_bundles(workspace)
    if several and path == folder / BUNDLE_NAME:
        raise ConfigError(f"bundle: there is one for each of several budgets; {_choice(several)}")
    if (path / BUNDLE_NAME).is_file():
        raise ConfigError(f"bundle: {path} is a folder; did you mean {path / BUNDLE_NAME}?")
    if not path.is_file():
        raise ConfigError(f"bundle: no file {path}; run stage=pack first or give bundle=/path")
    check_receipt(path)
    return path


def several_bundles(workspace: Workspace) -> list[Path]:
    """The bundles of a run that was packed for several budgets, the smallest first."""
    found = (workspace.run.root / BUNDLE_FOLDER).glob(f"*/{BUNDLE_NAME}")
    return sorted(found, key=lambda path: path.stat().st_size)


def _choice(several: Sequence[Path]) -> str:
    others = ", ".join(path.parent.name for path in several[:-1])
    return f"name it, bundle={several[-1]}" + (f" (or {others})" if others else "")


def choose_split(workspace: Workspace, schema: Schema, name: str) -> Split:
    """The split as configured; without any configured split, all shards below `data.root`.

    Args:
        workspace: the run.
        schema: the bundle's, by which the records are read whatever the configuration says.
        name: the split's, where `split=` names none; `report` stands in for one that the data set
            lacks.

    Raises:
        ConfigError: there is no data.
        records.DataError: there is no such split, or a shard is damaged.
    """
    data, chosen = workspace.data_of(schema), workspace.config.split
    # What was never chosen on comes nearest to a test partition.
    if chosen is None and name not in data.splits and "report" in data.splits:
        name = "report"
    name = chosen or name
    split = replace(data, splits=data.splits or {name: SplitSpec()}).open(name)
    split.say_skipped()
    return split


def scored_batches(
    bundle: Bundle, split: Split, doing: str
) -> Iterator[tuple[Batch, torch.Tensor]]:
    """The split's batches with the bundle's log-odds (B, V) of all frames; shows progress.

    Raises:
        BundleError: a clip's log-odds are NaN or infinite.
    """
    scored = _scored(bundle, iterate_batches(split, _BATCH_CLIPS))
    yield from track(scored, doing, math.ceil(len(split) / _BATCH_CLIPS))


def _scored(bundle: Bundle, batches: Iterable[Batch]) -> Iterator[tuple[Batch, torch.Tensor]]:
    """Several batches at once, each on one thread: so no digit depends on how many there are."""

    def score_one(batch: Batch) -> tuple[Batch, torch.Tensor]:
        batch = batch.to(bundle.device)
        log_odds = bundle.predict(batch)
        _check_finite(batch, log_odds)
        return batch, log_odds

    at_once = min(pool_threads(), _BATCHES_AT_ONCE) if bundle.device.type == "cpu" else 1
    begun: deque[Future[tuple[Batch, torch.Tensor]]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        for batch in batches:
            begun.append(pool.submit(score_one, batch))
            if len(begun) == at_once:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def _check_finite(batch: Batch, log_odds: torch.Tensor) -> None:
    finite = torch.isfinite(log_odds).all(dim=1)
    if not bool(finite.all()):
        clip = batch.ids[int((~finite).nonzero()[0])]
        raise BundleError(
            f"clip {quoted(clip)}: the bundle scores it NaN or infinite: its weights, or the "
            "clip's features, are not sound"
        )


def score(bundle: Bundle, split: Split) -> StreamingScores:
    """The scores of a bundle over a split, with those of its tags where it has thresholds.

    Raises:
        records.DataError: no clip has a label.
    """
    thresholds = None if bundle.thresholds is None else bundle.thresholds.numpy()
    scores = StreamingScores(split.schema.num_labels, thresholds)
    labels = 0
    for batch, log_odds in scored_batches(bundle, split, f"score {split.name}"):
        labels += len(batch.labels)
        scores.update(log_odds, batch.labels, batch.unknown)
    if labels == 0:
        raise DataError(f"split {split.name!r}: its clips have no labels, so there is no score")
    return scores
