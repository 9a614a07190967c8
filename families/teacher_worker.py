"""The process that trains one teacher: `python -m families.teacher_worker FOLDER`."""

from __future__ import annotations

from families.objective import HardLabels
from families.worker import run_worker, train_member

if __name__ == "__main__":
    run_worker(lambda folder: train_member(folder, lambda job: HardLabels()))
