"""The data of a run: which shards, read how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from records.config import SplitSpec
from records.errors import DataError
from records.formats import AUTO
from records.schema import Schema
from records.splits import Split, open_split


@dataclass(frozen=True)
class DataSource:
    """The shards of a run: where they lie, what is in them, who may see which.

    Attributes:
        root: folder of the shards.
        schema: what a record holds.
        splits: by name, which records a split takes.
        cache: folder of the record indexes.
        on_corrupt: "error", or "skip" to count and leave out damaged records.
        workers: processes that decode batches beside the training process.
        format: name of the shards' format, or "auto" for what each suffix says.
    """

    root: Path
    schema: Schema
    splits: Mapping[str, SplitSpec]
    cache: Path
    on_corrupt: str = "error"
    workers: Annotated[int, Ge(0)] = 0
    format: str = AUTO

    def open(self, name: str) -> Split:
        """The records of one split, in their fixed order.

        Raises:
            records.DataError: there is no such split or it is empty, a shard is damaged or of
                another schema.
        """
        if name not in self.splits:
            raise DataError(f"data.{name}.shards: not set; give the glob of the split's shards")
        return open_split(
            self.root,
            name,
            self.splits[name],
            self.schema,
            cache=self.cache,
            on_corrupt=self.on_corrupt,
            format=self.format,
        )
