"""The trials that a study keeps as members of the run, and the experiment that has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from common.codec import to_plain
from common.files import write_bytes
from common.objects import is_object_url
from distill.config import StudentConfig
from families import host_of
from stages.config import Config
from stages.members import MemberConfig

EXPERIMENT_NAME = "experiment.yaml"
# What is done with a configuration, and how; an experiment says what it is. The studies are done.
_OF_NO_EXPERIMENT = (
    "stage",
    "columns",
    "executor",
    "jobs",
    "local_outputs",
    "bundle",
    "split",
    "output",
    "on_code_change",
    "tune",
)


def with_kept(config: Config, member: str, kept: Mapping[str, MemberConfig]) -> Config:
    """The configuration with the kept trials of a member in its place.

    Students and members that were of it, or stand on it, are of the best of them.

    Args:
        config: of the run.
        member: the member's name.
        kept: members by name, the best first.
    """
    best = next(iter(kept))
    members: dict[str, MemberConfig] = {}
    for name, settings in config.members.items():
        if name == member:
            members |= kept
        elif host_of(settings.family, settings.config) == member:
            members[name] = replace(settings, config={**settings.config, "of": best})
        else:
            members[name] = settings
    students: dict[str, StudentConfig | None] = {}
    for name, student in config.distill.students.items():
        of = student.member or name if student else name
        if of != member:
            students[name] = student
        elif student is None:
            students |= dict.fromkeys(kept)
        elif name == member:
            students[best] = replace(student, member="")
        else:
            students[name] = replace(student, member=best)
    return replace(config, members=members, distill=replace(config.distill, students=students))


def write_experiment(path: Path, config: Config, notes: list[str]) -> None:
    """Writes a configuration as an experiment that runs by itself, from any folder.

    Args:
        path: of the file.
        config: whole; only what differs from the defaults is written.
        notes: lines of a comment at its head.
    """
    write_bytes(path, experiment_text(path, config, notes).encode())


def experiment_text(path: Path, config: Config, notes: list[str]) -> str:
    """What `write_experiment` writes."""
    values = {k: v for k, v in to_plain(config).items() if k not in _OF_NO_EXPERIMENT}
    values = _different(_from_anywhere(values), to_plain(Config()))
    for entries, usual in (
        (values["members"], MemberConfig("")),
        (values.get("distill", {}).get("students", {}), StudentConfig()),
    ):
        for name, entry in entries.items():
            entries[name] = entry and _different(entry, to_plain(usual))
    command = f"python orchestrate.py stage=all experiment={path.resolve()}"
    head = ["@package _global_", command, "", *notes]
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head)
    # Whatever a name is: a comment ends with its line.
    return comment + yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def _from_anywhere(values: dict[str, Any]) -> dict[str, Any]:
    """With paths that do not depend on the folder in which the command is given."""

    def absolute(text: str | None) -> str | None:
        return text and (text if is_object_url(text) else str(Path(text).resolve()))

    data, unlabeled = values["data"], values["distill"]["unlabeled"]
    data["root"] = absolute(data["root"])
    data["cache_folder"] = absolute(data["cache_folder"])
    unlabeled["root"] = absolute(unlabeled["root"])
    if data["schema"] and Path(data["schema"]).is_file():
        data["schema"] = absolute(data["schema"])
    values["outputs"] = absolute(values["outputs"])
    values["extensions"] = [absolute(name) for name in values["extensions"]]
    for external in values["external"].values():
        for split in ("search", "report", "test"):
            given = external[split]
            is_one = isinstance(given, str)
            external[split] = absolute(given) if is_one else [absolute(each) for each in given]
    return values


def _different(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the defaults; of a mapping that the defaults have, what differs in it."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        default = defaults.get(key)
        if key in defaults and value == default:
            continue
        both = isinstance(value, dict) and isinstance(default, dict)
        found[key] = _different(value, default) if both and default else value
    return found
