"""Tables, pictures and scores made from what stages return."""

from report.performed import perform, say_changes
from report.score import score_of
from report.show import show
from report.stages import print_stages

__all__ = ["perform", "print_stages", "say_changes", "score_of", "show"]
