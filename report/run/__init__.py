"""The page of a run: what was made, what it scores, and why."""

from report.run.page import run_page
from stages.packing.outdated import REPORT_NAME

__all__ = ["REPORT_NAME", "run_page"]
