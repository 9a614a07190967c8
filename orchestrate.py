"""Onegig's command line: `python orchestrate.py stage=all experiment=demo`.

One function a stage; what a stage does lies in the package that it calls.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Worker processes import the same packages, from wherever this file is called.
ROOT = Path(__file__).resolve().parent
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
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

from common.errors import UserError  # noqa: E402
from report import print_choice, print_plan, print_scores, print_stages, print_table, print_teachers  # noqa: E402
from stages.config import Config, config_from, hydra_node  # noqa: E402
from stages.distill import train_students  # noqa: E402
from stages.ensemble import choose_teachers  # noqa: E402
from stages.export import export  # noqa: E402
from stages.pack import pack  # noqa: E402
from stages.plan import plan  # noqa: E402
from stages.submission import evaluate, predict  # noqa: E402
from stages.teachers import train_teachers  # noqa: E402
from stages.workspace import JobsFailed, Workspace  # noqa: E402


def stage_synthesize(workspace: Workspace) -> None:
    workspace.generate_data()


def stage_plan(workspace: Workspace) -> None:
    print_plan(plan(workspace))


def stage_teachers(workspace: Workspace) -> None:
    print_teachers(workspace, train_teachers(workspace))


def stage_ensemble(workspace: Workspace) -> None:
    with workspace.nothing_trained():
        teachers = train_teachers(workspace)
    print_choice(choose_teachers(workspace, teachers))


def stage_distill(workspace: Workspace) -> None:
    with workspace.nothing_trained():
        teachers = train_teachers(workspace)
        choice = choose_teachers(workspace, teachers)
    train_students(workspace, teachers, choice)


def stage_pack(workspace: Workspace) -> None:
    with workspace.nothing_trained():
        teachers = train_teachers(workspace)
        students = train_students(workspace, teachers, choose_teachers(workspace, teachers))
    print_table(workspace, teachers, pack(workspace, students))


def stage_predict(workspace: Workspace) -> None:
    print(predict(workspace))


def stage_export(workspace: Workspace) -> None:
    print(export(workspace))


def stage_evaluate(workspace: Workspace) -> None:
    print_scores(evaluate(workspace))


def stage_all(workspace: Workspace) -> None:
    if workspace.config.data.generated:
        workspace.generate_data()
    plan(workspace)
    teachers = train_teachers(workspace)
    students = train_students(workspace, teachers, choose_teachers(workspace, teachers))
    packed = pack(workspace, students)
    submission = predict(workspace)
    print_table(workspace, teachers, packed)
    print(f"submission  {submission}")


RUNNERS: dict[str, Callable[[Workspace], None]] = {
    "synthesize": stage_synthesize,
    "plan": stage_plan,
    "teachers": stage_teachers,
    "ensemble": stage_ensemble,
    "distill": stage_distill,
    "pack": stage_pack,
    "predict": stage_predict,
    "evaluate": stage_evaluate,
    "export": stage_export,
    "all": stage_all,
}


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
    with workspace.run.lock():
        RUNNERS[config.stage](workspace)


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
    """The exit status: 0 done, 2 wrong input, 1 a failed process or a defect of ours."""
    try:
        for config in parse_command_line():
            run_stage(config)
    except UserError as error:
        print(f"onegig: {error}", file=sys.stderr)
        return 2
    except (HydraException, OmegaConfBaseException) as error:
        print(f"onegig: {one_line(error)}", file=sys.stderr)
        return 2
    except JobsFailed as error:
        if all(result.returncode == 2 for result in error.results):
            # Every process met the same input; the last line of a log is what it said of it.
            print(f"onegig: {str(error.results[0].message).splitlines()[-1]}", file=sys.stderr)
            return 2
        print(f"onegig: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("onegig: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
