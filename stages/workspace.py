"""What every stage works with: the configuration, the run's folder, the data, the members."""

import hashlib
import sys
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from common.codec import replaced, to_plain
from common.errors import ConfigError
from common.extensions import load_extensions
from common.problems import quoted
from common.registry import digests_of, kinds_of
from families import FamilyModule, config_from_dict, registry
from families.base import HostLayer
from families.registry import meta_module
from metrics import Labels
from quantize.recipes import check_precisions
from records import (
    Schema,
    Split,
    SplitSpec,
    check_census,
    check_disjoint,
    load_schema,
    with_vocabulary,
)
from records.splits import DataSource
from runs import Run, Task
from runs.code_changes import CodeChanges
from runs.store import is_name
from stages.config import Config
from stages.jobs import UNLABELED, HostModel, Job, Setting, Training, Upstream
from training.config import TrainConfig
from training.inference import labels_of


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
        self.code_changes = CodeChanges(config.on_code_change)

    @cached_property
    def planned_schema(self) -> Schema:
        """What is known of the shards before they are there: the vocabulary as soon as it is.

        Raises:
            ConfigError: `data.schema` is not set.
            records.DataError: the schema or the vocabulary is wrong.
        """
        root, vocabulary = self.config.data.root, self.config.data.vocabulary
        named = root and vocabulary and Path(root, vocabulary).is_file()
        return self.schema if named else self._schema_without_names

    @cached_property
    def schema(self) -> Schema:
        """What the shards hold, with label names where a vocabulary is given.

        Raises:
            ConfigError: `data.schema` is not set, or `data.root` is no folder.
            records.DataError: the schema or the vocabulary is wrong.
        """
        if self.config.data.vocabulary is None:
            return self._schema_without_names
        vocabulary = self.data_root / self.config.data.vocabulary
        return with_vocabulary(self._schema_without_names, vocabulary)

    @cached_property
    def _schema_without_names(self) -> Schema:
        name = self.config.data.schema
        if name is None:
            raise ConfigError(
                "data.schema: not set; name yt8m_frame, yt8m_video, audioset or a YAML file of "
                "your own, or choose an experiment=..."
            )
        return load_schema(name)

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

    @cached_property
    def data(self) -> DataSource:
        """The shards; nothing is opened yet."""
        return self.data_of(self.schema)

    def data_of(self, schema: Schema) -> DataSource:
        """The shards, read by a schema; nothing is opened yet."""
        data = self.config.data
        return DataSource(
            root=self.data_root.resolve(),
            schema=schema,
            splits=data.splits,
            cache=(self.run.root / "index").resolve(),
            on_corrupt=data.on_corrupt,
            workers=data.workers,
            format=data.format,
        )

    @cached_property
    def unlabeled(self) -> DataSource | None:
        """The shards that students learn from without labels; nothing is opened yet.

        Raises:
            ConfigError: `distill.unlabeled.root` is no folder.
        """
        settings = self.config.distill.unlabeled
        if settings.shards is None:
            return None
        root = self.data_root if settings.root is None else Path(settings.root)
        if not root.is_dir():
            raise ConfigError(
                f"distill.unlabeled.root: {root} is no folder; give the shards' folder"
            )
        return replace(
            self.data,
            root=root.resolve(),
            schema=replace(self.schema, labels_key=""),
            splits={UNLABELED: SplitSpec(settings.shards)},
        )

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Content hashes of the splits that training sees, shown not to share a clip.

        How many labels their clips have is told on standard error.

        Raises:
            records.DataError: they share a clip, or their labels cannot be meant.
        """
        splits = [self.data.open(name) for name in ("train", "search", "report")]
        further = [self.unlabeled.open(UNLABELED)] if self.unlabeled else []
        for split in (*splits, *further):
            say_skipped(split)
        check_disjoint(splits)
        print(check_census(splits, self.data.cache, further), file=sys.stderr)
        return {split.name: split.fingerprint for split in (*splits, *further)}

    @cached_property
    def _training_clips(self) -> int:
        return len(self.data.open("train"))

    def labels(self, name: str) -> Labels:
        """The true labels of a split, in its order."""
        return labels_of(self.data.open(name))

    def train_config(self, member: str) -> TrainConfig:
        """How a member is trained: `train`, and its own `train` over it."""
        own = self.config.members[member].train
        return replaced(self.config.train, own, f"members.{member}.train", ConfigError)

    def student_train_config(self, student: str) -> TrainConfig:
        """How a student is trained: as its member, and its own `train` over it."""
        settings = self.config.students[student]
        base = self.train_config(settings.member)
        return replaced(base, settings.train, f"distill.students.{student}.train", ConfigError)

    def planned_model(self, member: str) -> FamilyModule:
        """A member's model before there is data, without memory.

        Raises:
            families.FamilyError: the family or one of its fields is wrong.
        """
        config = self.member_config(member)
        return meta_module(self.config.members[member].family, config, self.planned_schema)

    def member_config(
        self, member: str, clips: int | None = None, host: str | None = None
    ) -> dict[str, Any]:
        """A member's hyperparameters as plain JSON, their sizes those of its host and the data.

        Args:
            member: its name.
            clips: of the training split, once there is one.
            host: what its host is called, where that is not the member's name.

        Raises:
            ConfigError: it stands on what is no member, or stands on another itself.
            families.FamilyError: a field is wrong, or the host has no hidden layer.
        """
        settings = self.config.members[member]
        module = registry.get(settings.family).module
        config = config_from_dict(settings.family, settings.config)
        of = self.config.host_of(member)
        layer = None
        if of is not None:
            layer = HostLayer(host or of, self.planned_model(of).hidden_size)
        return to_plain(module.fitted(config, clips, layer))

    def check_members(self) -> None:
        """Checks every member and every student before the first of them is trained.

        Raises:
            ConfigError: there are none, a name is none of a task, or a training setting is wrong.
            families.FamilyError: a family or one of its fields is wrong.
            quantize.BundleError: there is no precision of a name.
        """
        if not self.config.members:
            raise ConfigError("members: none given; choose an experiment=... or write one")
        for name in self.config.members:
            _check_name("members", name)
            self.train_config(name)
            self.planned_model(name)
        for name in self.config.students:
            _check_name("distill.students", name)
            self.student_train_config(name)
            self.config.host_of_student(name)
        check_precisions(self.config.quantize.names())

    def setting(
        self, member: str, *sources: tuple[str, str], host: tuple[str, Task] | None = None
    ) -> Setting:
        """What every job of a member's model is told.

        Args:
            member: its name.
            sources: kind and name of what else the result depends on that may be of a user's own
                file, beside the family.
            host: of a member that stands on another, what that is called, and its training.
        """
        settings = self.config.members[member]
        of, model = self.config.host_of(member), None
        if of is not None and host is not None:
            family, trained = self.config.members[of].family, Upstream.of(host[1])
            model = HostModel(family, self.member_config(of, self._training_clips), trained)
            sources = (*sources, ("family", family))
        provided = digests_of(("family", settings.family), *sources)
        # A process imports no more than it uses, and nobody names the format of a file.
        used = [
            extension
            for extension in self.extensions
            if extension.digest in provided.values() or "format" in kinds_of(extension)
        ]
        return Setting(
            family=settings.family,
            config=self.member_config(member, self._training_clips, host[0] if host else None),
            data=self.data,
            fingerprints=self.fingerprints,
            device=self.config.device,
            stored_labels=self.config.ensemble.stored_labels,
            extensions=tuple(used),
            sources=provided,
            unlabeled=self.unlabeled,
            host=model,
        )

    def training(self, task: str, member: str, host: tuple[str, Task] | None = None) -> Training:
        """The training of `member` as the task named `task`, its seed independent of all others.

        Args:
            task: its name.
            member: its name.
            host: as in `setting`.
        """
        digest = hashlib.blake2b(f"{self.config.seed}/{task}".encode(), digest_size=4).digest()
        seed = int.from_bytes(digest, "little")
        return Training(task, self.setting(member, host=host), self.train_config(member), seed)

    def task(self, job: Job) -> Task:
        """The task that a job fills."""
        return self.run.task(job.task, job.inputs())


def _check_name(where: str, name: str) -> None:
    """Refuses what cannot be a task's name, or would lie in another member's folder."""
    if not is_name(name):
        raise ConfigError(
            f"{where}: name {quoted(name)}; use up to 200 letters, digits and ._+- (the first one "
            "a letter, digit or _)"
        )


def say_skipped(split: Split) -> None:
    """Tells on standard error what `data.on_corrupt=skip` left out."""
    if split.skipped:
        print(f"{split.name}: skipped {split.skipped} damaged records", file=sys.stderr)
