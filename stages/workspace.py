"""What every stage works with: the configuration, the run's folder, the data, the members."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from common.errors import ConfigError
from common.extensions import load_extensions
from common.registry import digests_of
from families import registry
from families.meta import without_memory
from families.size import model_bytes, parameter_count
from metrics import Labels
from records import Schema, Split, check_disjoint, load_schema, with_vocabulary
from records.folds import Fold
from records.source import DataSource
from runs import Run, Task
from stages.config import Config
from stages.jobs import Job, Setting, SoftLabels, Training
from training.config import TrainConfig, merged_train_config
from training.inference import labels_of


@dataclass(frozen=True)
class MemberSize:
    """What a member's model weighs before it is trained; its bytes are those at 8 bits."""

    name: str
    family: str
    parameters: int
    bytes: int


class Workspace:
    """One run of one configuration.

    Args:
        config: a checked configuration.

    Raises:
        UserError: one of `extensions` cannot be loaded.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.run = Run(Path(config.outputs) / config.run)
        self.extensions = load_extensions(config.extensions)

    @cached_property
    def planned_schema(self) -> Schema:
        """What is known of the shards before they are there: the vocabulary as soon as it is.

        Raises:
            ConfigError: `data.schema` is not set.
            records.DataError: the schema or the vocabulary is wrong.
        """
        data = self.config.data
        if data.root is None or data.vocabulary is None:
            return self._named_schema
        vocabulary = Path(data.root) / data.vocabulary
        if not vocabulary.is_file():
            return self._named_schema
        return with_vocabulary(self._named_schema, vocabulary)

    @cached_property
    def _named_schema(self) -> Schema:
        """The schema that `data.schema` names, without a vocabulary."""
        name = self.config.data.schema
        if name is None:
            raise ConfigError(
                "data.schema: not set; name yt8m_frame, yt8m_video, audioset or a YAML file of "
                "your own, or choose an experiment=..."
            )
        return load_schema(name)

    @cached_property
    def schema(self) -> Schema:
        """What the shards hold, with label names where a vocabulary is given.

        Raises:
            ConfigError: `data.schema` is not set, or `data.root` is no folder.
            records.DataError: the schema or the vocabulary is wrong.
        """
        if self.config.data.vocabulary is None:
            return self._named_schema
        return with_vocabulary(self._named_schema, self.data_root / self.config.data.vocabulary)

    @property
    def data_root(self) -> Path:
        """The folder of the shards.

        Raises:
            ConfigError: `data.root` is not set, or no folder.
        """
        data = self.config.data
        if data.root is None:
            raise ConfigError("data.root: not set; give the folder of the shards, data.root=/path")
        root = Path(data.root)
        if not root.is_dir():
            hint = "run stage=synthesize first" if data.generated else "give the shards' folder"
            raise ConfigError(f"data.root: {root} is no folder; {hint}")
        return root

    @property
    def index(self) -> Path:
        """The folder that keeps where the records lie in the shards."""
        return (self.run.root / "index").resolve()

    @cached_property
    def data(self) -> DataSource:
        """The shards; nothing is opened yet."""
        data = self.config.data
        return DataSource(
            root=self.data_root.resolve(),
            schema=self.schema,
            splits=data.splits,
            cache=self.index,
            on_corrupt=data.on_corrupt,
            workers=data.workers,
            format=data.format,
        )

    def split(self, name: str) -> Split:
        """The records of a split.

        Raises:
            ConfigError: the configuration has no such split.
            records.DataError: it is empty, or its shards are wrong.
        """
        if name not in self.data.splits:
            raise ConfigError(f"data.{name}.shards: not set; give the glob of the split's shards")
        return self.data.open(name)

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Content hashes of the splits that training sees, shown not to share a clip."""
        splits = [self.split(name) for name in ("train", "search", "report")]
        for split in splits:
            say_skipped(split)
        check_disjoint(splits)
        return {split.name: split.fingerprint for split in splits}

    def labels(self, name: str) -> Labels:
        """The true labels of a split, in its order."""
        return labels_of(self.split(name))

    def member_config(self, name: str) -> Any:
        """The family's config of a member, checked.

        Raises:
            families.FamilyError: unknown family, field or type.
        """
        member = self.config.members[name]
        return registry.config_from_dict(member.family, member.config)

    def train_config(self, member: str) -> TrainConfig:
        """How a member is trained: `train`, and its own `train` over it.

        Raises:
            ConfigError: a setting is wrong.
        """
        own = (f"members.{member}.train", self.config.members[member].train)
        return merged_train_config(self.config.train, own)

    def student_train_config(self, student: str) -> TrainConfig:
        """How a student is trained: as its member, and its own `train` over it.

        Raises:
            ConfigError: a setting is wrong.
        """
        settings = self.config.students[student]
        own = (f"distill.students.{student}.train", settings.train)
        return merged_train_config(self.train_config(settings.member), own)

    @cached_property
    def member_sizes(self) -> tuple[MemberSize, ...]:
        """What every member's model weighs; each is built once.

        Raises:
            families.FamilyError: a family or one of its fields is wrong.
        """
        threshold = self.config.quantize.threshold
        sizes = []
        for name, member in self.config.members.items():
            config = self.member_config(name)
            with without_memory():
                model = registry.build(member.family, config, self.planned_schema)
            count, weight = parameter_count(model), model_bytes(model, threshold)
            sizes.append(MemberSize(name, member.family, count, weight))
        return tuple(sizes)

    def check_members(self) -> None:
        """Checks every member and every student before the first of them is trained.

        Raises:
            ConfigError: there are none, or a training setting is wrong.
            families.FamilyError: a family or one of its fields is wrong.
        """
        if not self.config.members:
            raise ConfigError("members: none given; choose an experiment=... or write one")
        for name in self.config.members:
            self.train_config(name)
        for name in self.config.students:
            self.student_train_config(name)
        _ = self.member_sizes

    def setting(self, member: str, *sources: tuple[str, str]) -> Setting:
        """What every job of a member's model is told.

        Args:
            member: its name.
            sources: kind and name of what else the result depends on that may be of a user's own
                file, beside the family.
        """
        family = self.config.members[member].family
        return Setting(
            family=family,
            config=registry.config_to_dict(self.member_config(member)),
            data=self.data,
            fingerprints=self.fingerprints,
            device=self.config.device,
            stored_labels=self.config.ensemble.stored_labels,
            extensions=self.extensions,
            sources=digests_of(("family", family), *sources),
        )

    def training(
        self,
        task: str,
        member: str,
        *,
        train: TrainConfig | None = None,
        fold: Fold | None = None,
        soft: SoftLabels | None = None,
    ) -> Training:
        """The training of `member` as the task named `task`."""
        seed = _seed(self.config.seed, task)
        train = train or self.train_config(member)
        return Training(task, self.setting(member), train, seed, fold, soft)

    def task(self, job: Job) -> Task:
        """The task that a job fills."""
        return self.run.task(job.task, job.inputs())


def say_skipped(split: Split) -> None:
    """Tells on standard error what `data.on_corrupt=skip` left out."""
    if split.skipped:
        print(f"{split.name}: skipped {split.skipped} damaged records", file=sys.stderr)


def _seed(seed: int, task: str) -> int:
    """A seed for one training, independent of which others there are."""
    digest = hashlib.blake2b(f"{seed}/{task}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
