"""Every experiment file composes, is valid and plans; the winners' models take a step."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from common.codec import to_plain
from families import build
from records import (
    Batch,
    Clip,
    Split,
    SplitSpec,
    encode_clip,
    load_schema,
    open_split,
    write_shards,
)
from stages.config import Config, config_from, hydra_node
from stages.members import MemberConfig
from stages.plan import plan
from stages.workspace import Workspace
from training.objective import HardLabels
from training.trainer import Trainer

CONF = Path(__file__).parent.parent / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
# Counted from the published configurations' tensors, in MB (Skalic & Austin 2018, table 4).
COUNTED = {
    "RNN2": 19.2,
    "FVNet1": 369.2,
    "DBoF1": 59.4,
    "DBoF2": 37.3,
    "DBoF3": 33.1,
    "NetVLAD1": 242.9,
}
# Experiments whose tasks are the verticals of a vocabulary beside the data, and its labels.
WITH_VERTICALS = {"zoo_smoke": 400, "zoo_yt8m_video": 3862}
WINNERS = [*COUNTED, "RNN1", "RNN3", "NetVLAD2"]


def composed(*overrides: str) -> Config:
    ConfigStore.instance().store(name="onegig", node=hydra_node())
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return config_from(OmegaConf.to_container(compose("config", list(overrides))))


def experiment(name: str, *overrides: str) -> Config:
    return composed(f"experiment={name}", *overrides)


def test_the_experiments_are_there() -> None:
    assert len(EXPERIMENTS) == 10
    assert set(EXPERIMENTS) >= {"audioset", "demo", "skalic2018", "smoke", "yt8m_video"}


def options(group: str) -> list[str]:
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert len(found) == {"data": 4, "train": 1}[group]
    return found


def test_a_data_set_without_an_experiment() -> None:
    for name in options("data"):
        data = composed(f"data={name}").data
        assert data.schema == name
        assert data.train.shards and data.search.shards and data.report.shards
        assert data.train != data.search != data.report


def test_a_way_of_training_without_an_experiment() -> None:
    for name in options("train"):
        assert composed(f"train={name}").train != Config().train


def test_an_experiment_wins_over_its_groups_and_the_command_line_over_both() -> None:
    zoo = experiment("zoo_yt8m_video")
    assert (zoo.train.schedule, zoo.train.learning_rate) == ("one_cycle", 2e-3)
    assert (zoo.data.train.shards, zoo.data.train.hash_to) == ("validate*.tfrecord", 0.9)
    changed = experiment("zoo_yt8m_video", "data=audioset", "train.learning_rate=1")
    assert (changed.train.schedule, changed.train.learning_rate) == ("one_cycle", 1)
    assert (changed.data.schema, changed.data.train.hash_to) == ("audioset", 0.9)


def test_what_an_experiment_does_not_have_is_added_on_the_command_line() -> None:
    config = experiment(
        "smoke",
        "members.bag.config.dropout=0.3",
        "members.bag.train.epochs=2",
        "members.more={family: rnn}",
        "distill.students.plain=null",
    )
    bag = config.members["bag"]
    assert (bag.config["clusters"], bag.config["dropout"], bag.train["epochs"]) == (32, 0.3, 2)
    assert config.members["more"] == MemberConfig("rnn")
    assert list(config.students) == ["vlad", "bag", "sequence", "more"]


# Those that `all` teaches, each of its own name's member.
STUDENTS = {
    "audioset": [
        *("deep", "bag", "bag-wide", "drawn", "clusters", "attended", "attended-2"),
        *("attended-wide", "grouped", "grouped-2", "recall-bag", "recall-drawn"),
        *("recall-attended", "recall-grouped"),
    ],
    "demo": ["vlad-8", "vlad-4", "fisher-6", "fisher-4", "bag-max", "bag-gated", "gru", "lstm"],
    "yt8m_video": [
        *("length", "length-2", "wide", "raw", "gated", "gated-2", "deep", "relu"),
        *("recall-length", "recall-wide", "recall-gated", "recall-deep"),
    ],
}


@pytest.mark.parametrize("name", STUDENTS)
def test_students_in_their_order(name: str) -> None:
    """On which the results that the documentation tells depend."""
    config = experiment(name)
    taught = {n: s for n, s in config.students.items() if s.teacher == "all"}
    assert list(taught) == STUDENTS[name] == [student.member for student in taught.values()]
    others = {n: s for n, s in config.students.items() if n not in taught}
    untaught = ["bag", "drawn", "attended", "grouped"] if name == "audioset" else []
    assert list(others) == [f"{member}-labels" for member in untaught]
    assert [(s.member, s.teacher) for s in others.values()] == [(m, "labels") for m in untaught]
    assert all(s.level == 1 for s in config.students.values())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_plans(name: str, tmp_path: Path) -> None:
    overrides = [f"outputs={tmp_path}"]
    if name in WITH_VERTICALS:
        overrides.append(f"data.root={write_vocabulary(tmp_path, WITH_VERTICALS[name])}")
    config = experiment(name, *overrides)
    planned = plan(Workspace(config))
    assert to_plain(planned) == json.loads((tmp_path / config.run / "plan.json").read_text())
    assert planned.bytes == sum(member.bytes for member in planned.members)
    assert [member.name for member in planned.members] == list(config.members)


def write_vocabulary(folder: Path, labels: int) -> Path:
    """A vocabulary like YouTube-8M's, with 24 verticals and some labels without."""
    verticals = [f"Vertical {label % 25}" if label % 25 else "" for label in range(labels)]
    rows = [f"{label},label {label},{vertical}" for label, vertical in enumerate(verticals)]
    (folder / "vocabulary.csv").write_text("\n".join(["Index,Name,Vertical1", *rows]))
    return folder


def test_the_winners_members_come_to_their_bytes(tmp_path: Path) -> None:
    planned = plan(Workspace(experiment("skalic2018", f"outputs={tmp_path}")))
    found = {m.name: m.bytes for m in planned.members if m.name in COUNTED}
    assert found.keys() == COUNTED.keys()
    for name, megabytes in COUNTED.items():
        assert found[name] / 1e6 == pytest.approx(megabytes, rel=0.005)
    assert planned.bytes < planned.budget_bytes == 2**30


def test_the_winners_members_train_as_published() -> None:
    workspace = Workspace(experiment("skalic2018"))
    settings = {name: workspace.config.train_config(name) for name in WINNERS}
    found = {n: (s.batch_size, s.epochs, s.learning_rate) for n, s in settings.items()}
    assert found == {
        "NetVLAD1": (160, 10, 2e-4),
        "NetVLAD2": (160, 10, 2e-4),
        "FVNet1": (80, 10, 2e-4),
        "DBoF1": (80, 10, 2e-4),
        "DBoF2": (80, 10, 2e-4),
        "DBoF3": (80, 10, 2e-4),
        "RNN1": (256, 7, 2e-4),
        "RNN2": (256, 20, 2e-4),
        "RNN3": (220, 2, 8e-5),
    }


def test_the_winners_keep_800_shards_of_the_validation_partition_from_training() -> None:
    data = experiment("skalic2018").data
    shards = [f"{part}{n:04d}.tfrecord" for part in ("train", "validate") for n in range(3844)]

    def of(patterns: tuple[str, ...]) -> set[str]:
        return {name for pattern in patterns for name in fnmatch.filter(shards, pattern)}

    trained = of(data.train.patterns) - of(data.train.excluded)
    held_out = of(data.search.patterns)
    assert held_out == of(data.report.patterns) == set(shards) - trained
    assert len(held_out) == 800 and all(name.startswith("validate") for name in held_out)
    assert data.search.ranges == ((0.0, 0.5),) and data.report.ranges == ((0.5, 1.0),)
    assert data.train.ranges == ((0.0, 1.0),)


# NetVLAD2 is NetVLAD1 with another number of hidden units.
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WINNERS if name != "NetVLAD2"])
def test_the_winners_members_take_a_step(name: str, tmp_path: Path, tiny_split: Split) -> None:
    workspace = Workspace(experiment("skalic2018"))
    assert name in workspace.config.members
    model = build(
        workspace.config.members[name].family,
        workspace.config.members[name].config,
        workspace.schema,
    )
    trainer = Trainer(
        model,
        HardLabels(),
        tiny_split,
        replace(workspace.config.train_config(name), batch_size=2),
        seed=0,
        folder=tmp_path,
        draws_frames=True,
    )
    batch = frames_batch()
    loss, norm = trainer.step(batch)
    assert torch.isfinite(loss) and norm > 0
    with torch.no_grad():
        again, _ = HardLabels()(model, batch)
    assert torch.isfinite(again) and again != loss


def frames_batch() -> Batch:
    """Two clips of 30 frames in the schema of YouTube-8M."""
    generator = torch.Generator().manual_seed(0)
    sizes = {"rgb": 1024, "audio": 128}
    features = {k: torch.randn(2, 30, d, generator=generator) for k, d in sizes.items()}
    labels = torch.tensor([[0, 3], [0, 3000], [1, 17]])
    return Batch(["one", "two"], features, None, labels, 3862, -2.0, 2.0)


@pytest.fixture
def tiny_split(tmp_path: Path) -> Split:
    schema = load_schema("yt8m_frame")
    frames = {s.name: np.zeros((2, s.size), np.uint8) for s in schema.streams}
    clips = [Clip(f"clip{n}", np.array([n]), frames) for n in range(4)]
    write_shards(tmp_path / "data", "train", [encode_clip(clip, schema) for clip in clips])
    return open_split(tmp_path / "data", "train", SplitSpec("train-*"), schema, cache=None)


def test_copies_and_grids_are_said_in_a_line_and_planned(tmp_path: Path) -> None:
    config = composed(
        "experiment=yt8m_video",
        "members.length.copies=3",
        "members.relu.grid={hidden: [[512], [1024, 512]]}",
        f"outputs={tmp_path}",
    )
    planned = {member.name: member for member in plan(Workspace(config)).members}
    assert list(planned)[:4] == ["length", "length-2", "length-3", "wide"]
    assert [n for n in planned if n.startswith("relu")] == ["relu-512", "relu-1024x512"]
    assert planned["length"].bytes == planned["length-3"].bytes
    assert planned["relu-512"].parameters < planned["relu-1024x512"].parameters
    assert list(config.students) == list(planned)
