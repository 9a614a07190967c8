"""The winners' merged records, for other people's trainers: features and soft targets together.

Skalic & Austin 2018 trained their students on copies of the data set that held the teachers'
scores. Our own students never need them; `distill.write_merged=true` writes them all the same.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from distill.soft_targets import SoftTargets
from records import Split, encode_clip, write_shards

CLIPS_PER_SHARD = 1000


def write_merged(folder: Path, split: Split, targets: SoftTargets) -> list[Path]:
    """Writes the clips of a split with their soft targets as TFRecord shards.

    Each record is the clip as its schema has it, with three features more in its context:
    `soft_labels` (int64, K), `soft_probabilities` (float, K) and `soft_tail` (float, 1); labels are
    indices there, and where some are unknown these are in `unknown_labels` (int64).

    Raises:
        SoftTargetError: a clip has no soft targets.
        records.DataError: a record is damaged.
    """
    return write_shards(folder, split.name, _merged_records(split, targets), CLIPS_PER_SHARD)


def _merged_records(split: Split, targets: SoftTargets) -> Iterator[bytes]:
    for clip in split.clips():
        row = targets.rows([clip.id])[0]
        extra = {
            "soft_labels": targets.labels[row].astype(np.int64),
            "soft_probabilities": targets.probabilities[row],
            "soft_tail": targets.tail[row : row + 1],
        }
        if clip.unknown is not None:
            extra["unknown_labels"] = np.flatnonzero(clip.unknown)
        yield encode_clip(clip, split.schema, extra)
