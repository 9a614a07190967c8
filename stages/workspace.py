"""What every stage works with: the configuration, the run's folder, the data, the members."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from common.codec import to_plain
from common.errors import ConfigError
from common.extensions import load_extensions
from common.messages import say
from common.objects import is_object_url
from common.registry import Extension, digests_of, kinds_of
from families import FamilyModule, config_from_dict, registry
from families.base import HostLayer
from families.registry import meta_module
from metrics import Labels
from quantize.recipes import check_precisions
from records import (
    Schema,
    SplitSpec,
    check_census,
    check_disjoint,
    load_schema,
    with_vocabulary,
)
from records.folds import HELD, Part
from records.splits import DataSource
from runs import Machines, Run, Task
from runs.code_changes import CodeChanges
from runs.run_time import RunTime
from stages.config import Config
from stages.data_roots import DataRoot, data_root
from stages.job import Job, Upstream
from stages.jobs import UNLABELED, HostModel, Setting, Training
from stages.outputs import run_of
from stages.placement import machines_of
from stages.progress import RunProgress
from stages.summaries import better_phase, mean_stop
from stages.tracking.tracker import Tracker
from training.inference import labels_of


class Workspace:
    """One run of one configuration; or what of it is done without one of its folds.

    Args:
        config: a checked configuration.
        whole: where a fold is left out, the run; also an attribute.
        fold: the number of that fold.

    Raises:
        UserError: one of `extensions` cannot be loaded, `outputs` is no folder or URL of objects,
            or `time_limit` is no time.
    """

    def __init__(
        self, config: Config, whole: Workspace | None = None, fold: int | None = None
    ) -> None:
        self.config, self.whole, self._fold = config, whole, fold
        self.arguments: Sequence[str] = ()  # of the command line, for the page of the run
        self.run: Run = whole.run if whole else run_of(config)
        self.extensions: Sequence[Extension] = (
            whole.extensions if whole else load_extensions(config.extensions)
        )
        own_changes = CodeChanges(config.on_code_change)
        self.code_changes: CodeChanges = whole.code_changes if whole else own_changes
        self.progress: RunProgress = whole.progress if whole else RunProgress()
        self.tracker: Tracker = whole.tracker if whole else Tracker(config, self.run.root)
        self.machines: Machines = whole.machines if whole else machines_of(config, self.run)
        self.time: RunTime | None = whole.time if whole else RunTime.of(config.time_limit)

    @cached_property
    def folds(self) -> tuple[Workspace, ...]:
        """The run without each of its folds; none where there are none, or one is left out."""
        count = 0 if self.whole else self.config.folds
        return tuple(Workspace(self.config, self, fold) for fold in range(count))

    def of(self, config: Config) -> Workspace:
        """The same run of a configuration with other members; the data is not looked at again."""
        other = copy(self)
        other.config = config
        # They have the members of before.
        other.__dict__.pop("folds", None)
        return other

    def task_name(self, *parts: str) -> str:
        """The name within the run of a task that is called so."""
        return "/".join((*(("folds", str(self._fold)) if self.whole else ()), *parts))

    @property
    def packs_folds(self) -> bool:
        """Whether the models of the folds are packed themselves."""
        return self.config.final == "bag"

    @property
    def leaves_out(self) -> bool:
        """Whether it is what is done without a fold."""
        return self.whole is not None

    @property
    def predicted(self) -> tuple[str, ...]:
        """The splits that a model predicts as soon as it is trained."""
        if self.whole:
            return ("search", "report", HELD)
        return ("report",) if self.folds else ("search", "report")

    @cached_property
    def planned_schema(self) -> Schema:
        """What is known of the shards before they are there: the vocabulary as soon as it is.

        Raises:
            ConfigError: `data.schema` is not set.
            records.DataError: the schema or the vocabulary is wrong.
        """
        root, vocabulary = self.config.data.root, self.config.data.vocabulary
        away = root and is_object_url(root)
        named = root and vocabulary and (away or Path(root, vocabulary).is_file())
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
        with self.data_root.file(self.config.data.vocabulary) as vocabulary:
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
    def data_root(self) -> DataRoot:
        """The folder of the shards.

        Raises:
            ConfigError: `data.root` is not set, or no folder.
        """
        data = self.config.data
        if data.root is None:
            raise ConfigError("data.root: not set; give the folder of the shards, data.root=/path")
        hint = "run stage=synthesize first" if data.generated else "give the shards' folder"
        return data_root(data.root, "data.root", data, hint)

    @cached_property
    def data(self) -> DataSource:
        """The shards as trainings see them; nothing is opened yet."""
        folds = self.config.folds
        return replace(self.source, part=Part(folds, self._fold) if folds else None)

    @cached_property
    def source(self) -> DataSource:
        """The shards by split as they are configured; nothing is opened yet."""
        return self.whole.source if self.whole else self.data_of(self.schema)

    def data_of(self, schema: Schema) -> DataSource:
        """The shards, read by a schema; nothing is opened yet."""
        data, root = self.config.data, self.data_root
        return DataSource(
            root=root.path,
            schema=schema,
            splits=data.splits,
            cache=(self.run.root / "index").resolve(),
            on_corrupt=data.on_corrupt,
            workers=data.workers,
            format=data.format,
            remote=root.remote,
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
        root, key = self.data_root, "distill.unlabeled.root"
        if settings.root is not None:
            root = data_root(settings.root, key, self.config.data, "give the shards' folder")
        return replace(
            self.source,
            root=root.path,
            remote=root.remote,
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
        found = self.whole.fingerprints if self.whole else self._checked_fingerprints()
        if not self.config.folds:
            return found
        own = {name: self.data.open(name).fingerprint for name in ("train", *self.predicted)}
        return {name: found[name] for name in found if name == UNLABELED} | own

    def _checked_fingerprints(self) -> dict[str, str]:
        splits = [self.source.open(name) for name in (*self.learned_from, "report")]
        further = [self.unlabeled.open(UNLABELED)] if self.unlabeled else []
        for split in (*splits, *further):
            split.say_skipped()
        check_disjoint(splits)
        say(check_census(splits, self.source.cache, further))
        return {split.name: split.fingerprint for split in (*splits, *further)}

    @property
    def learned_from(self) -> tuple[str, ...]:
        """The splits, as they are configured, that models are trained and chosen on."""
        folded = self.config.folds and "search" not in self.source.splits
        return ("train",) if folded else ("train", "search")

    @cached_property
    def _training_clips(self) -> int:
        return len(self.data.open("train"))

    def labels(self, name: str) -> Labels:
        """The true labels of a split, in its order; with folds, `search` is fold after fold."""
        if name == "search" and self.folds:
            return Labels.concatenate([fold.labels(HELD) for fold in self.folds])
        return labels_of(self.data.open(name))

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
        layer = None if of is None else HostLayer(host or of, self.planned_model(of).hidden_size)
        return to_plain(module.fitted(config, clips, layer))

    def check_members(self) -> None:
        """Checks every member and every student before the first of them is trained.

        Raises:
            ConfigError: there are none, a name is none of a task, or a training setting is wrong.
            families.FamilyError: a family or one of its fields is wrong.
            quantize.BundleError: there is no precision of a name.
        """
        self.config.check_members()
        for name in self.config.members:
            self.planned_model(name)
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
        own = provided.values()
        used = [e for e in self.extensions if e.digest in own or "format" in kinds_of(e)]
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
            resources=settings.resources,
        )

    def training(
        self,
        folder: str,
        name: str,
        member: str,
        host: tuple[str, Task] | None = None,
        folds: Sequence[Task] = (),
    ) -> Training:
        """The training of `member` as a task of its own, its seed independent of all others.

        Args:
            folder: of the task.
            name: of the task in it.
            member: its name.
            host: as in `setting`.
            folds: those that were trained without a fold each, which decide what of it is kept.
        """
        task = self.task_name(folder, name)
        setting, train = self.setting(member, host=host), self.config.train_config(member)
        seed, in_time = self.config.seed_of(task), self.time is not None
        phase, stop = better_phase(folds), mean_stop(folds)
        return Training(task, setting, train, seed, self.predicted, phase, stop, in_time)

    def task(self, job: Job) -> Task:
        """The task that a job fills."""
        return self.run.task(job.task, job.inputs())
