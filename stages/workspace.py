"""What every stage works with: the configuration, the run's folder, the data, the members."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from common.errors import ConfigError
from common.extensions import load_extension
from families import registry
from metrics import Labels
from records import (
    DataSource,
    DemoSpec,
    Fold,
    Schema,
    Split,
    SplitSpec,
    check_disjoint,
    generate,
    load_schema,
    with_vocabulary,
)
from runs import Job, JobProgress, ProgressDisplay, Result, Run, RunError, Task, run_jobs
from stages.config import Config
from stages.jobs import MemberJob
from training.config import TrainConfig, merged_train_config
from training.inference import labels_of

# The first part of a task's name says whose it is; all others are of stage `distill`.
STAGE_OF_TASK = {"teachers": "teachers", "ensemble": "ensemble"}


class JobsFailed(Exception):
    """Some processes of a stage failed; the others finished.

    Attributes:
        results: how each one that failed ended.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self.results = tuple(results)
        super().__init__("\n".join(str(result.message) for result in results))


class Workspace:
    """One run of one configuration.

    Args:
        config: a validated configuration.

    Raises:
        UserError: one of `extensions` cannot be loaded.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.run = Run(Path(config.outputs) / config.run)
        self._may_work = True
        for path in config.extensions:
            load_extension(path)

    @contextmanager
    def nothing_trained(self) -> Iterator[None]:
        """Within it, a task that is not done is an error: an earlier stage has to be run.

        Raises:
            RunError: naming the task and the stage.
        """
        self._may_work = False
        try:
            yield
        finally:
            self._may_work = True

    def _check_may_work(self, task: Task) -> None:
        if not self._may_work:
            stage = STAGE_OF_TASK.get(task.name.partition("/")[0], "distill")
            raise RunError(
                f"{self.run.root}: {task.name} is not done with this configuration; run "
                f"stage={stage} first"
            )

    @cached_property
    def sizes(self) -> Schema:
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

    @cached_property
    def data(self) -> DataSource:
        """The shards; nothing is opened yet."""
        data = self.config.data
        specs = {
            name: SplitSpec(spec.shards, spec.hash_from, spec.hash_to)
            for name in ("train", "search", "report", "test")
            if (spec := getattr(data, name)).shards is not None
        }
        return DataSource(
            root=self.data_root.resolve(),
            schema=self.schema,
            splits=specs,
            cache=(self.run.root / "index").resolve(),
            on_corrupt=data.on_corrupt,
            workers=data.workers,
        )

    def generate_data(self) -> None:
        """Writes the demonstration data to `data.root`, as far as it is not there.

        Raises:
            ConfigError: the experiment reads data that is not generated.
            records.DataError: the folder holds other shards.
        """
        data = self.config.data
        if not data.generated:
            raise ConfigError(
                "data.generated: false, this experiment reads shards of its own; "
                "stage=synthesize is for experiment=demo"
            )
        if data.root is None:
            raise ConfigError("data.root: not set; give the folder to write to, data.root=/path")
        spec = DemoSpec(**vars(data.demo))
        with ProgressDisplay() as display:
            generate(
                Path(data.root),
                spec,
                lambda written, of: display.update(
                    JobProgress("synthesize", "done" if written == of else "running", written, of)
                ),
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

    def train_config(self, name: str, *overrides: tuple[str, Mapping[str, Any]]) -> TrainConfig:
        """How a member is trained: `train`, then its own `train`, then the overrides."""
        own = (f"members.{name}.train", self.config.members[name].train)
        return merged_train_config(self.config.train, own, *overrides)

    def check_members(self) -> None:
        """Checks every member before the first of them is trained.

        Raises:
            ConfigError: there are none, or a training setting is wrong.
            families.FamilyError: a family or one of its fields is wrong.
        """
        if not self.config.members:
            raise ConfigError("members: none given; choose an experiment=... or write one")
        for name in self.config.members:
            self.train_config(name)
            with torch.device("meta"):
                registry.build(
                    self.config.members[name].family, self.member_config(name), self.sizes
                )
        for name, student in self.config.students.items():
            self.train_config(student.member, (f"distill.students.{name}.train", student.train))

    def job(
        self,
        task: str,
        member: str,
        *,
        train: TrainConfig | None = None,
        fold: Fold | None = None,
        upstream: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> MemberJob:
        """The job that trains `member` as the task named `task`."""
        config = self.config
        return MemberJob(
            task=task,
            member=member,
            family=config.members[member].family,
            config=registry.config_to_dict(self.member_config(member)),
            train=train or self.train_config(member),
            seed=_seed(config.seed, task),
            device=config.device,
            data=self.data,
            fingerprints=self.fingerprints,
            stored_labels=config.ensemble.stored_labels,
            fold=fold,
            upstream=upstream or {},
            extra=extra or {},
            source=registry.source(config.members[member].family),
        )

    def task(self, job: MemberJob) -> Task:
        """The task that a job fills."""
        return self.run.task(job.task, job.inputs())

    def execute(self, jobs: Sequence[MemberJob], module: str) -> list[Task]:
        """Runs what is not done yet, each job as `python -m module FOLDER`.

        Returns:
            The tasks, all done, in the order of `jobs`.

        Raises:
            JobsFailed: some failed; the others have finished.
        """
        tasks = [self.task(job) for job in jobs]
        pending = []
        for job, task in zip(jobs, tasks, strict=True):
            if task.is_done():
                continue
            self._check_may_work(task)
            job.prepare(task)
            folder = task.folder.resolve()
            pending.append(Job(task.name, folder, (sys.executable, "-m", module, str(folder))))
        if pending:
            parallel, threads = parallelism(self.config.jobs)
            with ProgressDisplay() as display:
                results = run_jobs(pending, parallel, threads=threads, on_progress=display.update)
            failed = [result for result in results if result.message is not None]
            if failed:
                raise JobsFailed(failed)
        return tasks

    def once(
        self, name: str, inputs: Mapping[str, Any], work: Callable[[Task], tuple[list[str], Any]]
    ) -> Task:
        """Runs `work` in this process unless the task is done.

        Args:
            name: the task's name.
            inputs: what its content key covers.
            work: is given the prepared task and returns the files it wrote and a summary.
        """
        task = self.run.task(name, inputs)
        if not task.is_done():
            self._check_may_work(task)
            with task.lock():
                task.prepare()
                task.finish(*work(task))
        return task


def say_skipped(split: Split) -> None:
    """Tells on standard error what `data.on_corrupt=skip` left out."""
    if split.skipped:
        print(f"{split.name}: skipped {split.skipped} damaged records", file=sys.stderr)


def parallelism(jobs: int) -> tuple[int, int]:
    """Processes at once and threads in each; `jobs` 0 means one a core, or one on a GPU."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    parallel = jobs or (1 if torch.cuda.is_available() else cores)
    return parallel, max(1, cores // parallel)


def _seed(seed: int, task: str) -> int:
    """A seed for one training, independent of which others there are."""
    digest = hashlib.blake2b(f"{seed}/{task}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
