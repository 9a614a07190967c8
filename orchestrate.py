"""Onegig's command line: `python orchestrate.py stage=all experiment=demo`.

What the stages do lies in `stages/`, a file each; how their results are shown in `report/`.
"""

import sys

from common import interrupts

if __name__ == "__main__":
    interrupts.heed_while_importing()

    from report import usage

    usage.answer_at_once(sys.argv[1:])

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from common.threads import LIBRARY_VARIABLES

if __name__ == "__main__":
    # Libraries make no threads that `one_thread` would leave idle.
    os.environ.update(dict.fromkeys(LIBRARY_VARIABLES, "1"))
# Hydra shall raise: its own report of an error is many lines and ends with status 1.
os.environ["HYDRA_FULL_ERROR"] = "1"

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from common import messages, system_errors
from common.errors import ConfigError, UserError
from report import print_stages
from stages.commands.arguments import check_overrides, check_words
from stages.commands.described import check_stage, is_experiment
from stages.commands.refusals import check_key, one_line
from stages.config import Config, config_from, hydra_node
from stages.errors import JobsFailed

# Keys that choose a run, or what is done with it; jobs that differ in nothing else share the run.
_OF_NO_RUN = {
    "run",
    "outputs",
    "local_outputs",
    "stage",
    "bundle",
    "split",
    "verbosity",
    "tune.storage",
}
# Characters of a run's name, without those that tell two from each other.
_LONGEST = 150


class Carried(BaseException):
    """Carries an error past Hydra, which writes lines of its own about every `Exception`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def parse_command_line(run: Callable[[Config], float | None]) -> None:
    """Calls `run` with the configuration of this call; with Hydra's `--multirun`, job by job.

    Args:
        run: Returns a score, for the sweeper.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of bounds.
        HydraException, OmegaConfBaseException: bad syntax, an unknown experiment.
        Exception: what `run` raises; no further job is begun.
    """
    ConfigStore.instance().store(name="onegig", node=hydra_node())
    # Hydra has flags of its own, and takes no others.
    sys.argv[1:] = as_hydra_takes(messages.as_overrides(sys.argv[1:]))

    @hydra.main(version_base="1.3", config_path="conf", config_name="config")
    def job(composed: DictConfig) -> float | None:
        try:
            values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
            return run(_in_its_own_run(config_from(values)))
        except Exception as error:
            raise Carried(error) from None

    try:
        job()
        return
    except Carried as carried:
        error = carried.error
    except ConfigCompositionException as refused:
        check_key(refused)
        raise
    raise error


def as_hydra_takes(arguments: Sequence[str]) -> list[str]:
    """Arguments that Hydra can read; files of experiments have names.

    Raises:
        ConfigError: as `check_words`, `with_experiment_files` and `check_overrides`.
    """
    check_words(arguments)
    given = [with_experiment_files(argument) for argument in arguments]
    check_overrides(given)
    return given


def with_experiment_files(argument: str) -> str:
    """An argument as Hydra takes it: of `experiment=/path/to/mine.yaml` the file has a name.

    What is a path is said by a slash, or by its ending; otherwise it is a name of conf/experiment.
    Several stand with commas between them, as a sweep has them.

    Raises:
        ConfigError: there is no such file, or it is not the YAML of a mapping.
    """
    key, separator, value = argument.partition("=")
    if key.lstrip("+") != "experiment" or not separator:
        return argument
    names = (text.strip("\"' ") for text in value.split(","))
    return f"{key}=" + ",".join(
        _named_experiment(Path(name)) if "/" in name or name.endswith((".yaml", ".yml")) else name
        for name in names
    )


def _named_experiment(path: Path) -> str:
    """The name by which Hydra finds the experiment of a file from now on."""
    try:
        node = OmegaConf.load(path)
    except OSError as error:
        there = [own for own in (path.stem, f"{path}.yaml") if is_experiment(own)]
        meant = f"; did you mean experiment={there[0]}?" if there else ""
        raise ConfigError(f"experiment: {path} cannot be read: {error.strerror}{meant}") from None
    # Its constructors let ValueErrors and others out.
    except Exception as error:
        raise ConfigError(f"experiment: {path} is not YAML: {one_line(error)}") from None
    if not isinstance(node, DictConfig):
        raise ConfigError(f"experiment: {path} holds no keys")
    digest = hashlib.blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()
    name = f"{re.sub('[^A-Za-z0-9_]', '_', path.stem)}_{digest}"
    ConfigStore.instance().store(name=name, node=node, group="experiment", package="_global_")
    return name


def _in_its_own_run(config: Config) -> Config:
    """The configuration; with `--multirun` of a run that no other job of the sweep has."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode != RunMode.MULTIRUN:
        return config
    name = run_of_job(config.run, hydra_config.overrides.task, sys.argv[1:])
    print(f"run {name}")
    return replace(config, run=name)


def run_of_job(run: str, overrides: Sequence[str], given: Sequence[str]) -> str:
    """The run of one job of a sweep: behind its name stands what the sweep sets in it.

    Args:
        run: The name that the configuration has.
        overrides: The job's.
        given: Those of the command line.

    Example:
        >>> run_of_job("demo", ["seed=1", "train.epochs=2"], ["-m", "seed=1", "train.epochs=1,2"])
        'demo+train.epochs-2'
    """
    as_given = set(_as_hydra_writes(given))
    swept = [text.lstrip("+") for text in overrides if text not in as_given]
    told = [text for text in swept if text.partition("=")[0] not in _OF_NO_RUN]
    name = "".join(f"+{text.replace('=', '-')}" for text in told)
    safe = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[:_LONGEST]
    if safe != name:
        safe += "-" + hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return run + safe


def _as_hydra_writes(arguments: Sequence[str]) -> Iterator[str]:
    """Those arguments that are overrides, as a job has them: 1e-3 is 0.001 there."""
    parser = OverridesParser.create()
    for argument in arguments:
        with suppress(HydraException):
            override = parser.parse_override(argument)
            yield f"{override.get_key_element()}={override.get_value_element_as_str()}"


def run_stage(config: Config) -> float | None:
    """Runs the stage that a configuration names, or shows what there is to do.

    Returns:
        What the stage scored on `search`, if it did.
    """
    messages.set_verbosity(config.verbosity)
    if config.stage is None:
        print_stages(config)
        return None
    if not config.extensions:
        check_stage(config.stage)
    # They import torch, which takes seconds: a wrong key or name is answered before.
    from report import perform, score_of
    from stages.workspace import Workspace

    workspace = Workspace(config)
    workspace.arguments = sys.argv[1:]
    return score_of(perform(workspace))


def main() -> int:
    """The exit status: 0 done, 2 wrong input, 1 a failed process or machine, 130 Ctrl-C."""
    try:
        interrupts.heed_while_working()
        parse_command_line(run_stage)
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
