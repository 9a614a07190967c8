"""What a run is on disk, and how its tasks are executed."""

from typing import TYPE_CHECKING

from common.on_demand import exports_of

if TYPE_CHECKING:
    from runs.config import ExecutorConfig, ResourceConfig
    from runs.errors import RunError
    from runs.executor import run_jobs, run_source
    from runs.failures import MACHINE_FAILED, NOTE, Result, describe_failures
    from runs.keys import content_key
    from runs.local import LocalMachine
    from runs.machines import Capacity, Machines
    from runs.parent import die_with_parent
    from runs.predictions import Predictions, PredictionsWriter
    from runs.processes import Job
    from runs.progress import (
        JobProgress,
        ProgressDisplay,
        append_log,
        append_progress,
        reported,
        track,
        working,
    )
    from runs.sources import JobSource
    from runs.store import Run, Task
else:
    __getattr__ = exports_of(__name__, __file__)

__all__ = [
    "MACHINE_FAILED",
    "NOTE",
    "Capacity",
    "ExecutorConfig",
    "Job",
    "JobProgress",
    "JobSource",
    "LocalMachine",
    "Machines",
    "Predictions",
    "PredictionsWriter",
    "ProgressDisplay",
    "ResourceConfig",
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
    "run_source",
    "track",
    "working",
]
