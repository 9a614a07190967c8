"""Every promise, in the order of the table."""

from benchmarks.faults import (  # noqa: F401
    catalogues,
    code,
    disk,
    flips,
    hostile,
    identifiers,
    kills,
    memory,
    same,
)
from benchmarks.faults.promise import PROMISES as PROMISES
