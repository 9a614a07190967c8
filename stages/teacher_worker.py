"""The process that trains one teacher: `python -m stages.teacher_worker FOLDER`."""

from __future__ import annotations

from stages.worker import run_worker, train_member
from training.objective import HardLabels

if __name__ == "__main__":
    run_worker(lambda folder: train_member(folder, lambda job: HardLabels()))
