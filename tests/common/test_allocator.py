"""A process of its own keeps what it freed; what the user says of that is heeded."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from common.allocator import environment
from runs import Job, run_jobs

# Faults of the pages of 48 MB, at the first time and when they were freed once.
_SCRIPT = """
import resource
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(6_000_000).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_job_does_not_map_what_it_freed_anew(tmp_path: Path) -> None:
    run_jobs([Job("a", tmp_path / "a", (sys.executable, "-c", _SCRIPT), threads=1)], 1)
    assert int((tmp_path / "a" / "log.txt").read_text()) < 1000


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1234")
    assert environment()["MALLOC_TRIM_THRESHOLD_"] == "1234"
