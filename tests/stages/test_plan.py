"""What is planned before there is data, and what only with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import ConfigError
from distill.config import DistillConfig, StudentConfig
from families import FamilyError
from records.config import DataConfig
from stages import builtin  # noqa: F401
from stages.config import Config
from stages.members import MemberConfig
from stages.plan import plan
from stages.stage import STAGES
from stages.workspace import Workspace

SCHEMA = (
    "name: own\nlevel: video\nnum_labels: 4\nstreams: [{name: a, size: 6, encoding: float32}]\n"
)
TABLE = "Index,Name,Vertical1\n0,a,X\n1,b,Y\n2,c,\n3,d,X\n"
PERCEPTRON = MemberConfig("perceptron", {"hidden": [8], "input_norm": "none"})
MMOE = MemberConfig("mmoe", {"experts": 2, "expert_units": 5, "tower_hidden": []})
# One norm (5 x 6), experts 6 x 10 + 10, three gates 6 x 2, heads 5 x 4 + 4.
MMOE_PARAMETERS = 12 + 70 + 36 + 24


def workspace(tmp_path: Path, member: MemberConfig, schema: str = SCHEMA) -> Workspace:
    (tmp_path / "own.yaml").write_text(schema)
    data = DataConfig(
        root=str(tmp_path / "shards"),
        schema=str(tmp_path / "own.yaml"),
        vocabulary="vocabulary.csv",
    )
    return Workspace(Config(data=data, members={"m": member}, outputs=str(tmp_path), run="r"))


def write_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "vocabulary.csv").write_text(TABLE)


def test_a_perceptron_needs_no_data(tmp_path: Path) -> None:
    before = plan(workspace(tmp_path, PERCEPTRON))
    write_vocabulary(tmp_path)
    assert plan(workspace(tmp_path, PERCEPTRON)) == before
    assert before.members[0].parameters == 6 * 8 + 8 + 8 * 4 + 4


@pytest.mark.parametrize("stage", ["plan", "teachers", "ensemble", "distill", "pack"])
@pytest.mark.parametrize("name", ["a/b", "a b", ".a", "", "..", "é", "a" * 201])
def test_names_that_are_none_of_a_folder_are_refused(tmp_path: Path, stage: str, name: str) -> None:
    """`a` and `a/b` would clear each other's folders."""
    config = workspace(tmp_path, PERCEPTRON).config
    member = replace(config, members={"a": PERCEPTRON, name: PERCEPTRON})
    student = replace(config, distill=DistillConfig(students={name: StudentConfig("m")}))
    for where, changed in (("members", member), ("distill.students", student)):
        with pytest.raises(ConfigError, match=f"^{where}: name '.*; use up to 200 letters"):
            STAGES.get(stage).run(Workspace(changed))
    assert not (tmp_path / "r").exists()


def test_tasks_need_the_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(FamilyError, match=r"data\.vocabulary="):
        plan(workspace(tmp_path, MMOE))
    write_vocabulary(tmp_path)
    assert plan(workspace(tmp_path, MMOE)).members[0].parameters == MMOE_PARAMETERS


def test_verticals_of_the_schema_are_enough(tmp_path: Path) -> None:
    schema = f"{SCHEMA}verticals: {{X: [0, 3], Y: [1]}}\n"
    planned = plan(workspace(tmp_path, MMOE, schema))
    assert planned.members[0].parameters == MMOE_PARAMETERS
