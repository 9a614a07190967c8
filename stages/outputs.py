"""Where a run lies: what `outputs` and `run` name."""

from __future__ import annotations

from pathlib import Path

from common.errors import ConfigError
from common.files import user_cache
from common.objects import object_url
from runs import Run
from stages.config import Config


def run_of(config: Config) -> Run:
    """The run of a configuration: a folder, or what is below a URL.

    Raises:
        ConfigError: it is no URL of objects, or the nodes of a cluster could not get at it.
    """
    if "://" not in config.outputs:
        return Run(Path(config.outputs) / config.run)
    url = object_url(f"{config.outputs.rstrip('/')}/{config.run}", "outputs")
    if config.executor.kind != "local":
        raise ConfigError(
            f"outputs={config.outputs}: executor={config.executor.kind} needs a folder that all "
            "nodes share; object storage is for executor=local"
        )
    # It takes a while, and few runs need it.
    from runs.remote.run import RemoteRun

    copies = Path(config.local_outputs).resolve() if config.local_outputs else user_cache("runs")
    return RemoteRun(url, copies / url.replace("://", "/"))
