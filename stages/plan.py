"""Stage `plan`: what every member weighs, before anything is trained."""

from dataclasses import dataclass

from common.codec import to_plain
from common.files import write_json
from common.units import format_bytes
from families.size import model_bytes, parameter_count
from quantize.errors import BudgetError
from stages.stage import stage
from stages.workspace import Workspace

PLAN_NAME = "plan.json"


@dataclass(frozen=True)
class PlannedMember:
    """A member; its bytes are those of its tensors at 8 bits."""

    name: str
    family: str
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """What `plan.json` holds: the members, the sum of their bytes, and the budget."""

    members: tuple[PlannedMember, ...]
    bytes: int
    budget_bytes: int


@stage("plan", help="write plan.json: parameters and bytes, before training")
def plan(workspace: Workspace) -> Plan:
    """Writes `plan.json`.

    The models are built without memory, so that the largest take no time. A member's bytes are
    those of its tensors; the bundle's header comes on top.

    Raises:
        UserError: as in `Workspace.check_members`.
        BudgetError: not even the smallest member fits.
    """
    workspace.check_members()
    config = workspace.config
    models = {name: workspace.planned_model(name) for name in config.members}
    members = tuple(
        PlannedMember(
            name,
            config.members[name].family,
            parameter_count(model),
            model_bytes(model, config.quantize.threshold),
        )
        for name, model in models.items()
    )
    budget = max(config.budgets.values())
    result = Plan(members, sum(member.bytes for member in members), budget)
    write_json(workspace.run.root / PLAN_NAME, to_plain(result))
    if min(member.bytes for member in members) > budget:
        listed = ", ".join(f"{m.name} {format_bytes(m.bytes)}" for m in members)
        raise BudgetError(
            f"budget: no member fits {format_bytes(budget)} at 8 bits ({listed}); raise budget= "
            "or make a member smaller"
        )
    return result
