"""A stage run and shown, as the command line and a call from Python have it."""

from contextlib import closing, nullcontext

from common.messages import warn
from common.threads import one_thread
from report.show import show
from stages.stage import STAGES
from stages.workspace import Workspace


def perform(workspace: Workspace) -> object:
    """Runs the stage that a workspace's configuration names, and prints what comes of it.

    At the end, however that is, it says whether other code made what was worked on.

    Returns:
        What the stage returned.
    """
    try:
        stage = STAGES.get(workspace.config.stage or "")
        # Results of this process must not depend on the number of cores.
        with (
            workspace.run.lock() if stage.of_run else nullcontext(),
            one_thread(),
            workspace.tracker.session(),
            closing(workspace.machines),
        ):
            result = stage.run(workspace)
            show(result)
            return result
    finally:
        line = workspace.code_changes.line()
        if line:
            warn(line)
