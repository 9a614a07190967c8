"""What is said of a data set: where it lies, what is in it, and who may see which of its clips."""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Le

from common.codec import Text
from common.objects import is_object_url, plain_url
from records.demo.world import DemoSpec
from records.errors import DataError

Fraction = Annotated[float, Ge(0), Le(1)]


def id_number(clip_id: str) -> int:
    """64 bits that depend on the id only: the same everywhere and always."""
    digest = hashlib.blake2b(clip_id.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def id_hash(clip_id: str) -> float:
    """A number in [0, 1) that depends on the id only."""
    return (id_number(clip_id) >> 11) / 2.0**53


@dataclass(frozen=True)
class SplitSpec:
    """Which records belong to a split: shards, less some shards, then a part of the ids.

    Shards are said by patterns: a file's name, a glob (``**`` stands for any depth), or ``@`` and
    the name of a text file that has a name or a glob on each line; all of them below the data's
    root. Each must match a file.

    Attributes:
        shards: A pattern, or several. None: in a configuration the data set has no such split;
            opened, every file of a known format.
        exclude: Patterns of shards to leave out.
        hash_from: Only clips whose `id_hash` is at least this,
        hash_to: and below this. 0 and 1 keep all.
        hash_ranges: In their place several such ranges; a clip in one of them is kept.

    Example:
        >>> first = SplitSpec("train*.tfrecord", hash_to=0.9)
        >>> winners = SplitSpec(("train*.tfrecord", "validate*.tfrecord"), exclude="@held-out.txt")
        >>> held_out = SplitSpec("@held-out.txt")
    """

    shards: str | tuple[str, ...] | None = None
    hash_from: Fraction = 0.0
    hash_to: Fraction = 1.0
    hash_ranges: tuple[tuple[Fraction, Fraction], ...] = ()
    exclude: str | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        place = "split" if self.shards is None else f"split {self.shards!r}"
        if self.shards is not None and not all(self.patterns or ("",)):
            raise DataError(f"{place}: shards is empty; give a pattern such as 'train-*.tfrecord'")
        if not all(self.excluded):
            raise DataError(f"{place}: exclude holds an empty pattern; leave it out")
        if self.hash_ranges and (self.hash_from, self.hash_to) != (0, 1):
            raise DataError(
                f"{place}: hash_ranges and hash_from, hash_to say the same; give one of them"
            )
        for start, end in self.ranges:
            if not 0 <= start < end <= 1:
                raise DataError(
                    f"{place}: hash_from is {start} and hash_to {end}; they must satisfy "
                    "0 <= hash_from < hash_to <= 1"
                )

    @property
    def patterns(self) -> tuple[str, ...]:
        """`shards` as a tuple."""
        return (self.shards,) if isinstance(self.shards, str) else self.shards or ()

    @property
    def excluded(self) -> tuple[str, ...]:
        """`exclude` as a tuple."""
        return (self.exclude,) if isinstance(self.exclude, str) else self.exclude

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The ranges of the hash, however they were said."""
        return self.hash_ranges or ((self.hash_from, self.hash_to),)

    def takes(self, clip_id: str) -> bool:
        """Whether a clip of this id, in one of the shards, belongs to the split."""
        place = id_hash(clip_id)
        return any(start <= place < end for start, end in self.ranges)


@dataclass(frozen=True)
class DataConfig:
    """The shards of a run.

    Attributes:
        root: Folder of the shards, or its URL in object storage, such as ``s3://bucket/yt8m``.
        cache: Bytes of this machine's disk for copies of shards, where `root` is a URL of object
            storage.
        cache_folder: Where they lie, for all runs; None: with the user's caches.
        schema: Name of a built-in schema, or a YAML file; see `load_schema`.
        vocabulary: CSV file with the labels' names, below `root`; see `with_vocabulary`.
        format: How the files are read: a format's name, or ``auto`` for what each file's suffix
            says.
        train: What is trained on.
        search: What weights, checkpoints and hyperparameters are chosen on.
        report: What scores are reported on.
        test: What is predicted; may have no labels.
        on_corrupt: ``error``, or ``skip`` to count and leave out damaged records.
        workers: Processes that decode batches beside each training process.
        generated: `stage=synthesize` writes the shards to `root`.
        demo: What it writes.
    """

    root: Text | None = None
    cache: Text = "50GB"
    cache_folder: Text | None = None
    schema: Text | None = None
    vocabulary: Text | None = None
    format: str = "auto"
    train: SplitSpec = SplitSpec()
    search: SplitSpec = SplitSpec()
    report: SplitSpec = SplitSpec()
    test: SplitSpec = SplitSpec()
    on_corrupt: Literal["error", "skip"] = "error"
    workers: Annotated[int, Ge(0)] = 0
    generated: bool = False
    demo: DemoSpec = field(default_factory=DemoSpec)

    def __post_init__(self) -> None:
        # Before anything is written that repeats it.
        if self.root and is_object_url(self.root):
            plain_url(self.root, "data.root")

    @property
    def splits(self) -> dict[str, SplitSpec]:
        """The splits that the data set has, by name."""
        specs = {name: getattr(self, name) for name in ("train", "search", "report", "test")}
        return {name: spec for name, spec in specs.items() if spec.shards is not None}
