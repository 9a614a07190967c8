"""Stage `plan`: what every member weighs, before anything is trained."""

from __future__ import annotations

from typing import Any

import torch

from common.files import write_json
from common.units import format_bytes, parse_bytes
from families import build, model_bytes, parameter_count
from quantize.errors import BudgetError
from quantize.recipes import check_precisions
from stages.workspace import Workspace

PLAN_NAME = "plan.json"


def plan(workspace: Workspace) -> dict[str, Any]:
    """Writes `plan.json`: per member name, family, parameters, bytes at 8 bits; sum and budget.

    The models are built without memory, so that the largest take seconds. A member's bytes are
    those of its tensors; the bundle's header comes on top.

    Raises:
        BudgetError: not even the smallest member fits.
        BundleError: there is no precision of a name.
    """
    workspace.check_members()
    settings = workspace.config.quantize
    check_precisions([*settings.precisions, *settings.group_precisions])
    threshold = workspace.config.quantize.threshold
    members: list[dict[str, Any]] = []
    for name, member in workspace.config.members.items():
        with torch.device("meta"):
            model = build(member.family, workspace.member_config(name), workspace.sizes)
        members.append(
            {
                "name": name,
                "family": member.family,
                "parameters": parameter_count(model),
                "bytes": model_bytes(model, threshold),
            }
        )
    budget = parse_bytes(workspace.config.budget)
    result = {
        "members": members,
        "bytes": sum(member["bytes"] for member in members),
        "budget_bytes": budget,
    }
    write_json(workspace.run.root / PLAN_NAME, result)
    if min(member["bytes"] for member in members) > budget:
        sizes = ", ".join(f"{m['name']} {format_bytes(m['bytes'])}" for m in members)
        raise BudgetError(
            f"budget: no member fits {format_bytes(budget)} at 8 bits ({sizes}); raise budget= "
            "or make a member smaller"
        )
    return result
