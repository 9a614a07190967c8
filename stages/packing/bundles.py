"""Which bundle stages run, and over which split."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from common.errors import ConfigError
from records import Schema, Split, SplitSpec
from records.splits import DataSource
from stages.packing.receipt import check_receipt
from stages.workspace import Workspace

BUNDLE_FOLDER = "bundle"
BUNDLE_NAME = "bundle.safetensors"


def find_bundle(workspace: Workspace) -> Path:
    """The file of `bundle=`, by default the run's own.

    Raises:
        ConfigError: there is no such file, or several; or the receipt beside it is of another.
    """
    folder = workspace.run.root / BUNDLE_FOLDER
    path = Path(workspace.config.bundle or folder / BUNDLE_NAME)
    several = several_bundles(workspace)
    if several and path == folder / BUNDLE_NAME:
        raise ConfigError(f"bundle: there is one for each of several budgets; {_choice(several)}")
    if (path / BUNDLE_NAME).is_file():
        raise ConfigError(f"bundle: {path} is a folder; did you mean {path / BUNDLE_NAME}?")
    if not path.is_file():
        raise ConfigError(f"bundle: no file {path}; run stage=pack first or give bundle=/path")
    check_receipt(path)
    return path


def several_bundles(workspace: Workspace) -> list[Path]:
    """The bundles of a run that was packed for several budgets, the smallest first."""
    found = (workspace.run.root / BUNDLE_FOLDER).glob(f"*/{BUNDLE_NAME}")
    return sorted(found, key=lambda path: path.stat().st_size)


def _choice(several: Sequence[Path]) -> str:
    others = ", ".join(path.parent.name for path in several[:-1])
    return f"name it, bundle={several[-1]}" + (f" (or {others})" if others else "")


def choose_split(workspace: Workspace, schema: Schema, name: str) -> Split:
    """The split as configured; without any configured split, all shards below `data.root`.

    Args:
        workspace: the run.
        schema: the bundle's, by which the records are read whatever the configuration says.
        name: the split's, where `split=` names none; `report` stands in for one that the data set
            lacks.

    Raises:
        ConfigError: there is no data.
        records.DataError: there is no such split, or a shard is damaged.
    """
    data, chosen = workspace.data_of(schema), workspace.config.split
    # What was never chosen on comes nearest to a test partition.
    if chosen is None and name not in data.splits and "report" in data.splits:
        name = "report"
    name = chosen or name
    split = shards_of(workspace, schema, name).open(name)
    split.say_skipped()
    return split


def shards_of(workspace: Workspace, schema: Schema, name: str) -> DataSource:
    """The shards in which `choose_split` finds the split that it calls so."""
    data = workspace.data_of(schema)
    return replace(data, splits=data.splits or {name: SplitSpec()})
