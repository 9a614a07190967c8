"""Where a run lies: what `outputs` and `run` name."""

from __future__ import annotations

from pathlib import Path

from common.files import user_cache
from common.objects import object_url
from runs import Run
from stages.config import Config


def run_of(config: Config) -> Run:
    """The run of a configuration: a folder, or what is below a URL.

    Raises:
        common.errors.ConfigError: it is no URL of objects.
    """
    if "://" not in config.outputs:
        return Run(Path(config.outputs) / config.run)
    url = object_url(f"{config.outputs.rstrip('/')}/{config.run}", "outputs")
    # It takes a while, and few runs need it.
    from runs.remote.run import RemoteRun

    own = Path(config.local_outputs).resolve() if config.local_outputs else None
    copy = (own or user_cache("runs")) / url.replace("://", "/")
    return RemoteRun(url, copy, nodes=own and own / "nodes")
