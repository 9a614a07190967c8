"""Soft targets, and the students that learn from them."""

from typing import TYPE_CHECKING

from common.on_demand import exports_of

if TYPE_CHECKING:
    from distill.objective import SoftAndHardLabels
    from distill.soft_targets import SoftTargetError, SoftTargets, mix_teachers
else:
    __getattr__ = exports_of(__name__, __file__)

__all__ = ["SoftAndHardLabels", "SoftTargetError", "SoftTargets", "mix_teachers"]
