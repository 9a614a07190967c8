"""Stage `ensemble`: each family's teacher, and the weights of all members together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.files import read_json, write_json
from ensemble.scorer import WeightedScorer
from ensemble.search import search_weights
from ensemble.teachers import best_combination
from runs import Predictions, Task
from stages.jobs import predictions_name
from stages.workspace import Workspace

CHOICE_NAME = "ensemble.json"


def choose_teachers(workspace: Workspace, teachers: Mapping[str, Task]) -> dict[str, Any]:
    """Chooses on `search`, then scores what was chosen on `report`.

    Returns:
        `families`: by family, the members of its best combination and its GAP; `weights` by
        member; `search` and `report`: GAP of the searched weights and of the flat mean, and
        whether each is proven exact.
    """
    config = workspace.config.ensemble
    inputs = {
        "method": config.method,
        "trials": config.trials,
        "mix": config.mix,
        "teacher_size": config.teacher_size,
        "seed": workspace.config.seed,
        "families": {name: workspace.config.members[name].family for name in teachers},
        "upstream": {task.name: task.digest() for task in teachers.values()},
    }

    def work(task: Task) -> tuple[list[str], dict[str, Any]]:
        choice = _choose(workspace, teachers)
        write_json(task.folder / CHOICE_NAME, choice)
        return [CHOICE_NAME], choice["report"]

    task = workspace.once("ensemble", inputs, work)
    return read_json(task.folder / CHOICE_NAME)


def _choose(workspace: Workspace, teachers: Mapping[str, Task]) -> dict[str, Any]:
    config = workspace.config.ensemble
    search = _load(teachers, "search")
    labels = workspace.labels("search")
    scorer = WeightedScorer(list(search.values()), labels, mix=config.mix)
    result = search_weights(scorer, config.method, trials=config.trials, seed=workspace.config.seed)
    families = {}
    for family in dict.fromkeys(workspace.config.members[name].family for name in teachers):
        of_family = {
            n: p for n, p in search.items() if workspace.config.members[n].family == family
        }
        best = best_combination(of_family, labels, size=config.teacher_size)
        families[family] = {"members": list(best.names), "gap": best.gap}
    report = WeightedScorer(
        list(_load(teachers, "report").values()), workspace.labels("report"), mix=config.mix
    )
    return {
        "families": families,
        "weights": dict(zip(teachers, map(float, result.weights), strict=True)),
        "method": config.method,
        "trials": result.trials,
        "search": _scores(scorer, result.weights),
        "report": _scores(report, result.weights),
    }


def _load(teachers: Mapping[str, Task], split: str) -> dict[str, Predictions]:
    name = predictions_name(split)
    return {member: Predictions.load(task.folder / name) for member, task in teachers.items()}


def _scores(scorer: WeightedScorer, weights: np.ndarray) -> dict[str, Any]:
    flat = np.full(len(weights), 1 / len(weights))
    scored = scorer.gap(np.stack([weights, flat]))
    return {
        "gap": float(scored.gap[0]),
        "exact": bool(scored.exact[0]),
        "flat_gap": float(scored.gap[1]),
        "flat_exact": bool(scored.exact[1]),
    }
