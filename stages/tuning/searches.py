"""Searches of weights and precisions: what they depend on, and their studies where one looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna

from common.studies import studies_kept
from ensemble.evenness import PER_CLIP
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


def search_inputs(workspace: Workspace, tasks: Iterable[Task]) -> dict[str, Any]:
    """What a search of weights depends on, for its content key.

    Args:
        workspace: the run.
        tasks: those whose predictions are weighed.
    """
    config = workspace.config.ensemble
    return {
        "method": config.method,
        "trials": config.trials,
        "mix": config.mix,
        "evenness": PER_CLIP,
        "seed": workspace.config.seed,
        "upstream": {task.name: task.digest() for task in tasks},
    }
