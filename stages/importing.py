"""Stage `import`: from a folder that nothing is known of to an experiment that runs on it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from common.codec import to_plain
from common.errors import ConfigError
from common.files import write_bytes
from common.objects import is_object_url
from common.problems import quoted
from records import Schema, SplitSpec
from records.config import DataConfig
from records.recognition.config import ColumnsConfig
from stages.config import Config
from stages.stage import stage
from stages.starter import starting_members, starting_training
from stages.tuning.kept import EXPERIMENT_NAME, experiment_text
from stages.workspace import Workspace

if TYPE_CHECKING:
    from records.recognition.dataset import Recognised
    from records.recognition.labels import LabelsFound

_FOLDER = "import"


@dataclass(frozen=True)
class Imported:
    """What stage `import` wrote, and what it assumed.

    Attributes:
        experiment: the file of the experiment.
        assumed: lines by what they are of.
        written: the files.
    """

    experiment: Path
    assumed: dict[str, str]
    written: tuple[Path, ...]


@stage(
    "import",
    help="look at data of your own; write schema, vocabulary, experiment",
    of_run=False,
)
def import_data(workspace: Workspace) -> Imported:
    """Looks at the files below `data.root`, and writes an experiment that runs on them.

    It is written into the run's folder, or to `output=`; schema and vocabulary lie beside it. What
    lies there already stays as it is.

    Raises:
        ConfigError: `data.root` is no folder, or a file that it would write is there already.
        records.DataError: no file is of a known format, or it is in doubt what is in them; says
            which key decides.
    """
    # pyarrow takes a while to be imported, and no other stage needs this.
    from records.recognition.dataset import recognise

    config, root = workspace.config, workspace.data_root.path
    if workspace.data_root.remote is not None:
        raise ConfigError("data.root: stage=import looks at files; copy some of them into a folder")
    name = config.run if config.run != Config().run else _run_name(root)
    if is_object_url(config.outputs) and not config.output:
        raise ConfigError(
            f"outputs={config.outputs}: this stage writes an experiment for you to edit; say where "
            "on this machine, output=/path/to/mine.yaml"
        )
    place = Path(config.output or Path(config.outputs, name, _FOLDER, EXPERIMENT_NAME))
    if place.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"output: {place}; an experiment's file ends in .yaml")
    found = recognise(root, name, config.data.format, config.columns)
    schema, vocabulary = (
        place.with_name(f"{place.stem}-{what}") for what in ("schema.yaml", "vocabulary.csv")
    )
    names = found.schema.label_names
    data = DataConfig(
        root=str(root),
        schema=str(schema.resolve()),
        vocabulary=str(vocabulary.resolve()) if names else None,
        format=config.data.format,
        train=found.splits["train"],
        search=found.splits["search"],
        report=found.splits["report"],
        test=found.splits.get("test", SplitSpec()),
    )
    experiment, assumed = _experiment(config, name, data, found), _assumed(found)
    notes = ["Written by stage=import, which assumed:", *_lines(assumed), "Change what is not so."]
    texts = {schema: _schema_text(found.schema)}
    texts |= {vocabulary: _vocabulary_text(names)} if names else {}
    _write_new({**texts, place: experiment_text(place, experiment, notes)})
    return Imported(place, assumed | _chosen(experiment), (*texts, place))


def _experiment(config: Config, name: str, data: DataConfig, found: Recognised) -> Config:
    """The configuration of the command, with data, members and training."""
    clips, schema = found.counts["train"], found.schema
    return replace(
        config,
        run=name,
        data=data,
        columns=ColumnsConfig(),
        train=starting_training(clips),
        members=starting_members(schema.level, clips, found.labels_a_clip, schema.num_labels),
        distill=replace(config.distill, teacher="all"),
    )


def _assumed(found: Recognised) -> dict[str, str]:
    """What was assumed of the data, in words."""
    roles, labels = found.roles, found.labels
    others = ", ".join(quoted(column.name) for column in roles.others)
    return {
        "format": f"{found.format}, {found.files} file{'s'[: found.files != 1]}",
        "clips": ", ".join(f"{count:,} of {group}" for group, count in found.counts.items()),
        "id": f"column {quoted(roles.id.name)}",
        "labels": f"column {quoted(roles.labels.name)}: {labels.count} {_said(labels)}, "
        f"{found.labels_a_clip:.2g} a clip on average",
        "level": "frames" if roles.level == "frame" else "one vector a clip",
        "streams": ", ".join(f"{quoted(c.name)} {c.size} {c.encoding}" for c in roles.streams),
        **({"not read": others} if others else {}),
        **{split: _spec(spec) for split, spec in found.splits.items()},
    }


def _chosen(experiment: Config) -> dict[str, str]:
    """What was chosen for them, in words."""
    train, members = experiment.train, experiment.members.items()
    return {
        "members": ", ".join(f"{name} ({member.family})" for name, member in members),
        "training": f"{train.epochs:g} epochs, {train.batch_size} clips a batch",
    }


def _said(labels: LabelsFound) -> str:
    """How labels are written, in words."""
    if labels.encoding == "indices":
        return "by index, named there" if labels.names else "by index, up to the greatest there"
    return "names" if labels.encoding == "names" else "as rows of zeros and ones"


def _spec(spec: SplitSpec) -> str:
    """Which clips a split takes, in words."""
    shards = spec.patterns[0] if len(spec.patterns) == 1 else f"{len(spec.patterns)} files"
    whole = (spec.hash_from, spec.hash_to) == (0, 1)
    part = "" if whole else f", ids whose hash is in {spec.hash_from:g} to {spec.hash_to:g}"
    return f"{quoted(shards)}{part}"


def _lines(assumed: Mapping[str, str]) -> list[str]:
    return [f"  {what:<10}{text}" for what, text in assumed.items()]


def _run_name(root: Path) -> str:
    """What of a folder's name a run may be called."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", root.name).strip(".-") or "mine"


def _schema_text(schema: Schema) -> str:
    plain = to_plain(schema)
    usual = to_plain(Schema("", schema.level, schema.streams, schema.num_labels))
    needed = ("name", "level", "streams", "num_labels", "id_keys", "labels_key")
    kept = {
        key: value
        for key, value in plain.items()
        if key in needed or (value != usual[key] and key != "label_names")
    }
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)


def _vocabulary_text(names: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "display_name"])
    writer.writerows(enumerate(names))
    return text.getvalue()


def _write_new(texts: Mapping[Path, str]) -> None:
    """Writes files, of which none replaces another.

    Raises:
        ConfigError: one is there, and holds something else.
    """
    for path, text in texts.items():
        if path.exists() and path.read_bytes() != text.encode():
            raise ConfigError(
                f"output: {path} is there already, and is another; take it away, or give "
                "output=/path/to/another.yaml"
            )
    for path, text in texts.items():
        if not path.exists():
            write_bytes(path, text.encode())
