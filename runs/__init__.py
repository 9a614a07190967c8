"""What a run is on disk, and how its tasks are executed."""

from runs.errors import RunError
from runs.executor import Job, run_jobs
from runs.failures import MACHINE_FAILED, NOTE, Result, describe_failures
from runs.keys import content_key
from runs.parent import die_with_parent
from runs.predictions import Predictions, PredictionsWriter
from runs.progress import (
    JobProgress,
    ProgressDisplay,
    append_log,
    append_progress,
    reported,
    track,
    working,
)
from runs.store import Run, Task

__all__ = [
    "MACHINE_FAILED",
    "NOTE",
    "Job",
    "JobProgress",
    "Predictions",
    "PredictionsWriter",
    "ProgressDisplay",
    "Result",
    "Run",
    "RunError",
    "Task",
    "append_log",
    "append_progress",
    "content_key",
    "describe_failures",
    "die_with_parent",
    "reported",
    "run_jobs",
    "track",
    "working",
]
