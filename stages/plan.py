"""Stage `plan`: what every member weighs, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

from common.codec import to_plain
from common.files import write_json
from common.units import format_bytes, parse_bytes
from quantize.errors import BudgetError
from quantize.recipes import check_precisions
from stages.stage import stage
from stages.workspace import MemberSize, Workspace

PLAN_NAME = "plan.json"


@dataclass(frozen=True)
class Plan:
    """What `plan.json` holds: the members, the sum of their bytes, and the budget."""

    members: tuple[MemberSize, ...]
    bytes: int
    budget_bytes: int


@stage("plan", help="write plan.json: parameters and bytes, before training")
def plan(workspace: Workspace) -> Plan:
    """Writes `plan.json`.

    The models are built without memory, so that the largest take no time. A member's bytes are
    those of its tensors; the bundle's header comes on top.

    Raises:
        ConfigError, families.FamilyError: a member is wrong.
        BudgetError: not even the smallest member fits.
        BundleError: there is no precision of a name.
    """
    workspace.check_members()
    settings = workspace.config.quantize
    check_precisions([*settings.precisions, *settings.group_precisions])
    members = workspace.member_sizes
    budget = parse_bytes(workspace.config.budget)
    result = Plan(members, sum(member.bytes for member in members), budget)
    write_json(workspace.run.root / PLAN_NAME, to_plain(result))
    if min(member.bytes for member in members) > budget:
        listed = ", ".join(f"{m.name} {format_bytes(m.bytes)}" for m in members)
        raise BudgetError(
            f"budget: no member fits {format_bytes(budget)} at 8 bits ({listed}); raise budget= "
            "or make a member smaller"
        )
    return result
