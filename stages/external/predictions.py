"""External predictions as tasks, `external/<name>/<split>`, stored as those of the run's models.

They are keyed by the content of the files and by the clips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import ConfigError
from common.files import sha256_file
from common.messages import say
from metrics import Labels
from records import Schema, Split, read_truth
from records.folds import HELD
from runs import RunError, Task
from stages.execute import Tasks
from stages.jobs import predictions_name
from stages.workspace import Workspace
from training.inference import labels_of

# pyarrow is imported where a table is read: it takes time.
_READERS = ("runs.confidences", "runs.tables")


@dataclass(frozen=True)
class ClipSet:
    """Clips that are predicted, in their order: those of one split, or one behind the other.

    Attributes:
        name: `search`, `report` or `test`.
        splits: the clips.
    """

    name: str
    splits: tuple[Split, ...]

    @classmethod
    def of(cls, workspace: Workspace, schema: Schema, name: str) -> ClipSet:
        """Those of a split of the run, read by a schema; with folds, `search` is fold after fold.

        Raises:
            records.DataError: there is no such split, or a shard is damaged.
        """
        if name == "search" and workspace.folds:
            return cls(name, tuple(fold.data.open(HELD) for fold in workspace.folds))
        return cls(name, (workspace.data_of(schema).open(name),))

    @property
    def task(self) -> str:
        """What a task of theirs is called."""
        return self.name if len(self.splits) == 1 else HELD

    @property
    def fingerprints(self) -> list[str]:
        """Of the splits' contents."""
        return [split.fingerprint for split in self.splits]

    def ids(self) -> np.ndarray:
        """(N,) str."""
        return np.concatenate([read_truth(split).ids for split in self.splits])

    def labels(self) -> Labels:
        """The true ones."""
        return Labels.concatenate([labels_of(split) for split in self.splits])


def external_task(workspace: Workspace, name: str, clips: ClipSet) -> Task:
    """The task that has what the external model `name` says of clips.

    Raises:
        ConfigError: a file is not named or not there, or cannot be read, or lacks a clip, or holds
            what is no label or no probability.
    """
    config = workspace.config.external[name]
    files = config.files(name, clips.name)
    schema = clips.splits[0].schema
    stored = workspace.config.ensemble.stored_labels
    place = f"external.{name}"

    def work(task: Task) -> tuple[list[str], Any]:
        from runs.confidences import LabelSpace, read_confidences

        try:
            space = LabelSpace(schema.num_labels, schema.label_names, config.labels)
        except RunError as error:
            raise ConfigError(f"{place}.labels: {error}") from None
        try:
            found, others = read_confidences(files, clips.ids(), space, stored)
        except RunError as error:
            more = "; with folds they are train and search" if len(clips.splits) > 1 else ""
            raise ConfigError(f"{place}.{clips.name}: {error}{more}") from None
        rest = f"; {others} rows are of no clip of it" if others else ""
        say(f"{place}: {len(found)} clips of {clips.name}, {found.stored} labels each{rest}")
        found.save(task.folder / predictions_name(clips.name))
        return [predictions_name(clips.name)], {"clips": len(found), "other_rows": others}

    inputs = {
        "files": [sha256_file(path) for path in files],
        "clips": clips.fingerprints,
        "num_labels": schema.num_labels,
        "names": schema.label_names,
        "labels": config.labels,
        "stored_labels": stored,
    }
    task_name = workspace.task_name("external", name, clips.task)
    return Tasks(workspace).of_work(task_name, inputs, work, _READERS)
