"""The data of a run: which shards, read how."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records.schema import Schema
from records.splits import Split, SplitSpec, open_split


@dataclass(frozen=True)
class DataSource:
    """The shards of a run: where they lie, what is in them, who may see which.

    Attributes:
        root: folder of the shards.
        schema: what a record holds.
        splits: by name, which records a split takes.
        cache: folder of the record indexes.
        on_corrupt: "error", or "skip" to count and leave out records that fail their checksum.
        workers: processes that decode batches beside the training process.
    """

    root: Path
    schema: Schema
    splits: Mapping[str, SplitSpec]
    cache: Path
    on_corrupt: str = "error"
    workers: int = 0

    def open(self, name: str) -> Split:
        """The records of one split, in their fixed order.

        Raises:
            records.DataError: the split is empty, a shard is damaged or of another schema.
        """
        return open_split(
            self.root,
            name,
            self.splits[name],
            self.schema,
            cache=self.cache,
            on_corrupt=self.on_corrupt,
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "root": str(self.root),
            "schema": self.schema.to_dict(),
            "splits": {name: dataclasses.asdict(spec) for name, spec in self.splits.items()},
            "cache": str(self.cache),
            "on_corrupt": self.on_corrupt,
            "workers": self.workers,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> DataSource:
        return cls(
            root=Path(value["root"]),
            schema=Schema.from_dict(value["schema"]),
            splits={name: SplitSpec(**spec) for name, spec in value["splits"].items()},
            cache=Path(value["cache"]),
            on_corrupt=value["on_corrupt"],
            workers=value["workers"],
        )
