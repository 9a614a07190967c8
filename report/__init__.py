"""Tables, pictures and scores made from what stages return."""

from report.score import score_of
from report.show import show
from report.stages import print_stages

__all__ = ["print_stages", "score_of", "show"]
