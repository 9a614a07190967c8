"""Soft targets, and the students that learn from them."""

from distill.errors import SoftTargetError
from distill.objective import SoftAndHardLabels
from distill.soft_targets import SoftTargets, mix_teachers

__all__ = [
    "SoftAndHardLabels",
    "SoftTargetError",
    "SoftTargets",
    "mix_teachers",
]
