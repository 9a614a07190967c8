"""What a run is on disk, and how its tasks are executed."""

from runs.errors import RunError
from runs.executor import Job, Result, run_jobs
from runs.keys import content_key
from runs.parent import die_with_parent
from runs.predictions import Predictions, PredictionsWriter
from runs.progress import JobProgress, ProgressDisplay, append_progress, track
from runs.store import Run, Task

__all__ = [
    "Job",
    "JobProgress",
    "Predictions",
    "PredictionsWriter",
    "ProgressDisplay",
    "Result",
    "Run",
    "RunError",
    "Task",
    "append_progress",
    "content_key",
    "die_with_parent",
    "run_jobs",
    "track",
]
