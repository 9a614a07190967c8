"""What `python orchestrate.py` shows without a stage: what there is, what is done, what is next."""

from stages.stage import Done, list_stages
from stages.workspace import Workspace


def print_stages(workspace: Workspace) -> None:
    """The stages with a line each; where the run exists, which are done and what comes next."""
    root = workspace.run.root
    print("usage: python orchestrate.py stage=STAGE [experiment=NAME] [KEY=VALUE ...]\n")
    following = None
    for stage in list_stages():
        done = stage.done(workspace) if stage.done and root.exists() else None
        if done and not done.whole and following is None:
            following = stage.name
        print(f"  {stage.name:<11}{stage.help}{_mark(done)}")
    if root.exists():
        print(f"\n{root}: next is stage={following or 'predict'}")
    else:
        print(f"\n{root}: no such run yet; begin with stage=all")


def _mark(done: Done | None) -> str:
    if done is None or not done.tasks:
        return ""
    return " [done]" if done.whole else f" [{done.tasks} of {done.of} done]"
