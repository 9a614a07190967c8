"""The page of a run: what was made, what it scores, and why."""

from report.run.page import REPORT_NAME, run_page

__all__ = ["REPORT_NAME", "run_page"]
