"""Stage `teachers`: every member trained on the labels as they are."""

from __future__ import annotations

from runs import Task
from stages.workspace import Workspace


def train_teachers(workspace: Workspace) -> dict[str, Task]:
    """Trains what is missing; returns the finished tasks by member.

    Raises:
        JobsFailed: a training failed; the others have finished.
    """
    workspace.check_members()
    members = list(workspace.config.members)
    jobs = [workspace.job(f"teachers/{name}", name) for name in members]
    return dict(zip(members, workspace.execute(jobs, "stages.teacher_worker"), strict=True))
