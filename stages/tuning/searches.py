"""Searches of weights and precisions by Optuna, put where a person looks at studies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from common.studies import studies_kept
from runs import Task
from stages.workspace import Workspace
from tune.storage import StudyStorage

TUNE_FOLDER = "tune"


@contextmanager
def searches_kept(workspace: Workspace, task: Task) -> Iterator[None]:
    """With `tune.searches`, the studies of a task's searches are beside those of hyperparameters.

    Raises:
        TuneError: the storage does not answer.
    """
    tune = workspace.config.tune
    if not tune.searches:
        yield
        return
    storage = StudyStorage(workspace.run.root / TUNE_FOLDER, tune.storage, tune.heartbeat_seconds)

    def keep(what: str, study: optuna.Study) -> None:
        storage.copy(f"{workspace.config.run}/{task.name}: {what} ({task.key[:8]})", study)

    try:
        with studies_kept(keep):
            yield
    finally:
        storage.close()
