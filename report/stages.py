"""What `python orchestrate.py` shows without a stage: what there is, what is done, what is next."""

from __future__ import annotations

from common.errors import ConfigError
from records import DataError
from runs.store import DONE_NAME, TASK_NAME
from stages.config import STAGES
from stages.distill import LABELS
from stages.workspace import Workspace

# The folders whose DONE markers tell that a stage has been through, in the order of the stages.
_EVIDENCE = {
    "teachers": "teachers",
    "ensemble": "ensemble",
    "distill": "students",
    "pack": "bundle",
}


def print_stages(workspace: Workspace) -> None:
    """The stages with a line each; where the run exists, which are done and what comes next."""
    root = workspace.run.root
    counts = {stage: _finished(workspace, stage) for stage in _EVIDENCE} if root.exists() else {}
    print("usage: python orchestrate.py stage=STAGE [experiment=NAME] [KEY=VALUE ...]\n")
    for stage, what in STAGES.items():
        print(f"  {stage:<11}{what}{_mark(*counts[stage]) if stage in counts else ''}")
    if not counts:
        print(f"\n{root}: no such run yet; begin with stage=all")
        return
    open_stages = [stage for stage, (done, all_of) in counts.items() if done < all_of or not all_of]
    following = open_stages[0] if open_stages else "predict"
    print(f"\n{root}: next is stage={following}")


def _finished(workspace: Workspace, stage: str) -> tuple[int, int]:
    """How many of a stage's tasks are done, and how many it has."""
    top = workspace.run.root / _EVIDENCE[stage]
    members = workspace.config.members
    if stage == "teachers" and members:
        return sum(_is_trained(workspace, name) for name in members), len(members)
    if stage == "distill" and members:
        names = [name for name, s in workspace.config.students.items() if s.teacher != LABELS]
        return sum((top / name / DONE_NAME).exists() for name in names), len(names)
    if (top / TASK_NAME).exists():
        return int((top / DONE_NAME).exists()), 1
    tasks = [path for path in top.iterdir() if path.is_dir()] if top.is_dir() else []
    return sum((path / DONE_NAME).exists() for path in tasks), len(tasks)


def _is_trained(workspace: Workspace, member: str) -> bool:
    """Whether a teacher is done with this configuration; where the data is gone, with any."""
    name = f"teachers/{member}"
    try:
        return workspace.task(workspace.job(name, member)).is_done()
    except (ConfigError, DataError):
        return (workspace.run.root / name / DONE_NAME).exists()


def _mark(done: int, all_of: int) -> str:
    if not done:
        return ""
    return " [done]" if done == all_of else f" [{done} of {all_of} done]"
