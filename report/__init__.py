"""What a run left on disk, shown to a person."""

from __future__ import annotations

from report.stages import print_stages
from report.tables import print_choice, print_plan, print_scores, print_table, print_teachers

__all__ = [
    "print_choice",
    "print_plan",
    "print_scores",
    "print_stages",
    "print_table",
    "print_teachers",
]
