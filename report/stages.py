"""What `python orchestrate.py` shows without a stage: what there is, what is done, what is next."""

from __future__ import annotations

from families import Workspace
from runs.config import STAGES
from runs.store import DONE_NAME

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
    counts = {stage: _finished(workspace, folder) for stage, folder in _EVIDENCE.items()}
    print("usage: python orchestrate.py stage=STAGE [experiment=NAME] [KEY=VALUE ...]\n")
    for stage, what in STAGES.items():
        mark = _mark(*counts[stage]) if stage in counts and root.exists() else ""
        print(f"  {stage:<11}{what}{mark}")
    if not root.exists():
        print(f"\n{root}: no such run yet; begin with stage=all")
        return
    open_stages = [stage for stage, (done, all_of) in counts.items() if done < all_of or not all_of]
    following = open_stages[0] if open_stages else "predict"
    print(f"\n{root}: next is stage={following}")


def _finished(workspace: Workspace, folder: str) -> tuple[int, int]:
    """Tasks of a folder that are done, and all that stand there."""
    top = workspace.run.root / folder
    if (top / "task.json").exists():
        return int((top / DONE_NAME).exists()), 1
    tasks = [path for path in top.iterdir() if path.is_dir()] if top.is_dir() else []
    return sum((path / DONE_NAME).exists() for path in tasks), len(tasks)


def _mark(done: int, all_of: int) -> str:
    if not all_of:
        return ""
    return " [done]" if done == all_of else f" [{done} of {all_of} done]"
