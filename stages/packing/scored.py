"""A bundle's log-odds of a split, batch by batch, and what it scores by them."""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from common.problems import quoted
from common.threads import pool_threads
from metrics import StreamingScores
from quantize.bundle.content import BundleContent
from quantize.bundle.inference import BATCH_CLIPS, Bundle
from quantize.errors import BundleError
from records import Batch, DataError, Split, iterate_batches
from runs import track

BATCHES_AT_ONCE = 4  # each takes the memory of a forward pass

# Batches with log-odds (B, V).
Scored = Iterable[tuple[Batch, torch.Tensor]]


def scored_batches(
    bundle: Bundle, split: Split, doing: str
) -> Iterator[tuple[Batch, torch.Tensor]]:
    """The split's batches with the bundle's log-odds (B, V) of all frames; shows progress.

    Raises:
        BundleError: a clip's log-odds are NaN or infinite.
    """
    yield from track(scored(bundle, split), doing, math.ceil(len(split) / BATCH_CLIPS))


def scored(bundle: Bundle, split: Split) -> Iterator[tuple[Batch, torch.Tensor]]:
    """As `scored_batches`, and shows nothing.

    Several batches at once, each on one thread: so no digit depends on how many there are.
    """

    def score_one(batch: Batch) -> tuple[Batch, torch.Tensor]:
        batch = batch.to(bundle.device)
        log_odds = bundle.predict(batch)
        _check_finite(batch, log_odds)
        return batch, log_odds

    at_once = min(pool_threads(), BATCHES_AT_ONCE) if bundle.device.type == "cpu" else 1
    begun: deque[Future[tuple[Batch, torch.Tensor]]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        for batch in iterate_batches(split, BATCH_CLIPS):
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
    scores = collected(bundle, scored_batches(bundle, split, f"score {split.name}"))
    check_labeled(scores, split)
    return scores


def no_scores(bundle: Bundle | BundleContent) -> StreamingScores:
    """Those of no clip so far, by the thresholds of a bundle."""
    thresholds = None if bundle.thresholds is None else bundle.thresholds.numpy()
    return StreamingScores(bundle.schema.num_labels, thresholds)


def collected(bundle: Bundle, batches: Scored) -> StreamingScores:
    """What scores are computed from, of batches with the bundle's log-odds."""
    scores = no_scores(bundle)
    for batch, log_odds in batches:
        scores.update(log_odds, batch.labels, batch.unknown)
    return scores


def check_labeled(scores: StreamingScores, split: Split) -> None:
    """Raises DataError where no clip has a label."""
    if not scores.has_labels:
        raise DataError(f"split {split.name!r}: its clips have no labels, so there is no score")
