"""The page of stage `explore`: a data set as it is, before any training."""

from report.exploration.page import EXPLORE_NAME, write_exploration

__all__ = ["EXPLORE_NAME", "write_exploration"]
