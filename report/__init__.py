"""Tables and pictures made from what stages return."""

from report.show import show
from report.stages import print_stages

__all__ = ["print_stages", "show"]
