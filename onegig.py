"""Onegig from Python and from notebooks: the stages of the command line as functions.

from onegig import fit, run_stage

run = fit("demo", "budget=2MB", train={"epochs": 3}, data={"root": "/path/to/data"})
run.leaderboard(), run.bundle, run.report()
run_stage("evaluate", experiment="demo", bundle="bundle.safetensors").result
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from common import messages
from common.errors import ConfigError
from orchestrate import as_hydra_takes
from report import perform
from report.opened import OpenedRun
from stages.commands.overrides import as_overrides
from stages.commands.refusals import check_key, one_line
from stages.config import Config, config_from, hydra_node
from stages.workspace import Workspace

_CONF = Path(__file__).resolve().parent / "conf"
# Hydra, verbosity and the number of threads are a whole process's.
_ONE_AT_A_TIME = threading.RLock()


def fit(experiment: str | Path | None = None, *overrides: str, **keys: Any) -> OpenedRun:
    """From shards to a bundle, its submission and its page: `stage=all`.

    Args:
        experiment: a name of conf/experiment, or a YAML file.
        overrides: as on the command line, such as `budget=2MB` or `~members.wide`.
        keys: the same by name; mappings are laid over what there is, key by key.

    Returns:
        The run. What was done before is not done again, as on the command line.

    Raises:
        UserError: the input is wrong: a key (ConfigError), data, a budget.
        JobsFailed: a training failed; the others have finished.
        KeyboardInterrupt: the same call goes on from there.

    Example:
        run = fit("demo", "budget=2MB", train={"epochs": 3}, data={"root": "/path/to/data"})
    """
    named = {} if experiment is None else {"experiment": experiment}
    return run_stage("all", *overrides, **named, **keys)


def run_stage(stage: str, *overrides: str, **keys: Any) -> OpenedRun:
    """One stage, such as `teachers` or `pack`; it says and prints what the command line does.

    Arguments, result and errors are those of `fit`.

    Example:
        smaller = run_stage("pack", experiment="demo", budget="1MB")
    """
    arguments = as_overrides({"stage": stage, **keys})
    arguments = messages.as_overrides([arguments[0], *overrides, *arguments[1:]])
    with _ONE_AT_A_TIME:
        config = compose_config(arguments)
        messages.set_verbosity(config.verbosity)
        workspace = Workspace(config)
        workspace.arguments = arguments
        return OpenedRun(workspace, perform(workspace))


def compose_config(arguments: Sequence[str]) -> Config:
    """The configuration that the command line would have of the same arguments.

    Raises:
        ConfigError: bad syntax, an unknown key or experiment, a wrong type, a value out of bounds.
    """
    ConfigStore.instance().store(name="onegig", node=hydra_node())
    try:
        with _hydra():
            composed = compose("config", as_hydra_takes(arguments))
        values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as refused:
        if isinstance(refused, ConfigCompositionException):
            check_key(refused)
        raise ConfigError(one_line(refused)) from None
    return config_from(values)


@contextmanager
def _hydra() -> Iterator[None]:
    """Hydra on the project's files; afterwards as it was, for a program that uses it itself."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(_CONF), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = before
