"""What Hydra composed, looked at for what the codec would answer less well."""

from collections.abc import Mapping
from typing import Any

from common.errors import ConfigError
from common.problems import did_you_mean, shortened


def check_composed(composed: Any) -> None:
    """Refuses the keys of an experiment that lie at the wrong place, and members that are misspelt.

    Raises:
        ConfigError: there are such.
    """
    if not isinstance(composed, Mapping):
        return
    if "experiment" in composed:
        raise ConfigError(
            "experiment: its file in conf/experiment has to begin with the line # @package "
            "_global_, without which its keys are those of a key `experiment`"
        )
    members = composed.get("members")
    if isinstance(members, Mapping):
        _check_members(members)


def _check_members(members: Mapping[str, Any]) -> None:
    whole = [name for name, own in members.items() if isinstance(own, Mapping) and "family" in own]
    for name, own in members.items():
        # A key that there is not may be a family misspelt.
        if name not in whole and isinstance(own, Mapping) and {*own} <= {"config", "train"}:
            there = f"members are {', '.join(whole) or 'none'}, and a new one needs it"
            meant = did_you_mean(name, whole)
            raise ConfigError(
                f"members.{shortened(name)}: key 'family' is missing; {there}"
                + (f"; {meant}" if meant else "")
            )
