"""What `python orchestrate.py` shows without a stage: what there is, what is done, what is next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from common.objects import is_object_url
from report.usage import USAGE, first_screen
from stages.commands.described import Described, own_stages
from stages.config import Config
from stages.outputs import run_of
from stages.stage import Done, Stage, list_stages


def print_stages(config: Config) -> None:
    """The stages with a line each; where the run exists, which are done and what comes next.

    Where no experiment is chosen, those that there are, and what to type first.
    """
    root = run_of(config).root
    if not config.members and not config.extensions and not root.exists():
        print(first_screen())
        return
    print(f"{USAGE}\n")
    following = None
    for stage, done in _progress(config, root):
        if done and not done.whole and following is None:
            following = stage.name
        print(f"  {stage.name:<11}{stage.help}{_mark(done)}")
    if root.exists():
        print(f"\n{root}: next is stage={following or 'predict'}")
    elif is_object_url(config.outputs):
        print(f"\n{config.outputs}/{config.run}: not on this machine yet; any stage fetches it")
    else:
        print(f"\n{root}: no such run yet; begin with stage=all")


def _progress(config: Config, root: Path) -> Iterator[tuple[Described | Stage, Done | None]]:
    """The stages, and how much of each is done."""
    if not config.extensions and not root.exists():
        yield from ((stage, None) for stage in own_stages())
        return
    # What says how much is done needs all that makes it.
    from stages.workspace import Workspace

    workspace = Workspace(config)
    for stage in list_stages():
        yield stage, stage.done(workspace) if stage.done and root.exists() else None


def _mark(done: Done | None) -> str:
    if done is None or not done.tasks:
        return ""
    return " [done]" if done.whole else f" [{done.tasks} of {done.of} done]"
