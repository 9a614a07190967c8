"""Onegig's command line: `python orchestrate.py stage=all experiment=demo`.

What the stages do lies in `stages/`, a file each; how their results are shown in `report/`.
"""

from common import interrupts

if __name__ == "__main__":
    interrupts.heed_while_importing()

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from common.threads import LIBRARY_VARIABLES

# Worker processes import the same packages, from wherever this file is called.
ROOT = Path(__file__).resolve().parent
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
# Results of this process must not depend on the number of cores either.
os.environ.update(dict.fromkeys(LIBRARY_VARIABLES, "1"))
# Hydra shall raise: its own report of an error is many lines and ends with status 1.
os.environ["HYDRA_FULL_ERROR"] = "1"

import hydra  # noqa: E402
from hydra.core.config_store import ConfigStore  # noqa: E402
from hydra.errors import ConfigCompositionException, HydraException  # noqa: E402
from omegaconf import DictConfig, OmegaConf  # noqa: E402
from omegaconf.errors import (  # noqa: E402
    ConfigAttributeError,
    ConfigKeyError,
    OmegaConfBaseException,
)

from common import system_errors  # noqa: E402
from common.errors import UserError  # noqa: E402
from report import print_stages, show  # noqa: E402
from stages import builtin  # noqa: E402, F401
from stages.config import Config, config_from, hydra_node  # noqa: E402
from stages.execute import JobsFailed  # noqa: E402
from stages.stage import STAGES  # noqa: E402
from stages.workspace import Workspace  # noqa: E402


def parse_command_line() -> list[Config]:
    """The configurations of this call: one, or several with Hydra's `--multirun`.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of bounds.
        HydraException, OmegaConfBaseException: bad syntax, an unknown experiment.
    """
    composed: list[Any] = []
    refused: list[OmegaConfBaseException] = []
    ConfigStore.instance().store(name="onegig", node=hydra_node())

    @hydra.main(version_base="1.3", config_path="conf", config_name="config")
    def collect(config: DictConfig) -> None:
        try:
            composed.append(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
        except OmegaConfBaseException as error:
            # Raised in here, Hydra would write lines of its own about it.
            refused.append(error)

    try:
        collect()
    except ConfigCompositionException as error:
        if isinstance(error.__cause__, ConfigAttributeError | ConfigKeyError):
            # The codec says which keys there are.
            config_from({str(error.__cause__.full_key): None})
        raise
    if refused:
        raise refused[0]
    return [config_from(values) for values in composed]


def run_stage(config: Config) -> None:
    """Runs the stage that a configuration names, or shows what there is to do."""
    workspace = Workspace(config)
    if config.stage is None:
        print_stages(workspace)
        return
    stage = STAGES.get(config.stage)
    with workspace.run.lock():
        show(stage.run(workspace))


def one_line(error: BaseException) -> str:
    """An error and what caused it, on one line."""
    text = str(error)
    # Hydra ends with where it looked, and with how to add a key that does not exist.
    for noise in ("Config search path:", "To append to your config", "See https:"):
        text = text.split(noise)[0]
    if error.__cause__ is not None:
        text += ": " + str(error.__cause__).splitlines()[0]
    return " ".join(text.split())


def main() -> int:
    """The exit status: 0 done, 2 wrong input, 1 a failed process or machine, 130 Ctrl-C."""
    try:
        interrupts.heed_while_working()
        for config in parse_command_line():
            run_stage(config)
        sys.stdout.flush()
        return 0
    except UserError as error:
        said, status = str(error), 2
    except (HydraException, OmegaConfBaseException) as error:
        said, status = one_line(error), 2
    except JobsFailed as error:
        said, status = str(error), 1
    except OSError as error:
        said, status = system_errors.describe(error), 2 if system_errors.is_of_path(error) else 1
    except KeyboardInterrupt:
        said, status = interrupts.MESSAGE, interrupts.STATUS
    with suppress(OSError):
        print(f"onegig: {said}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
