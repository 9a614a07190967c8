"""The registry of stages: their order, and what is wrong with one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stages.builtin  # noqa: F401
from common.errors import ConfigError
from common.registry import restored
from stages.stage import STAGES, Done, list_stages, stage

BUILT_IN = [
    *(
        "synthesize",
        "import",
        "explore",
        "plan",
        "teachers",
        "tune",
        "ensemble",
        "distill",
        "pack",
        "predict",
    ),
]


@pytest.fixture(autouse=True)
def registry_of_its_own() -> Iterator[None]:
    with restored():
        yield


def names() -> list[str]:
    return [entry.name for entry in list_stages()]


def test_stages_are_listed_in_the_order_of_their_work() -> None:
    """In a process of its own, where nothing else imported some of them before."""
    code = "import stages.builtin, stages.stage as s; print(*(e.name for e in s.list_stages()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == [*BUILT_IN, "evaluate", "export", "report", "all"]


def test_stage_stands_behind_what_it_needs() -> None:
    stage("last", help="", needs=("first", "plan"))(print)
    stage("first", help="", needs=("teachers",))(print)
    assert names()[-2:] == ["first", "last"]
    assert STAGES.get("last").run is print


def test_stages_that_need_each_other_are_listed_all_the_same() -> None:
    stage("one", help="", needs=("other",))(print)
    stage("other", help="", needs=("one",))(print)
    assert names()[-2:] == ["other", "one"]


def test_what_is_wrong_with_a_stage_is_said() -> None:
    with pytest.raises(ConfigError, match="stage 'pack' is registered twice"):
        stage("pack", help="another")(print)
    stage("mine", help="", needs=("nothing",))(print)
    with pytest.raises(ConfigError, match="unknown stage 'nothing'"):
        list_stages()


@pytest.mark.parametrize(
    ("tasks", "of", "whole"), [(0, 0, False), (0, 2, False), (1, 2, False), (2, 2, True)]
)
def test_nothing_of_nothing_is_not_done(tasks: int, of: int, whole: bool) -> None:
    assert Done(tasks, of).whole is whole


def test_done_is_counted_below_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "DONE").touch()
    assert Done.below(tmp_path) == Done(1, 2)
    assert Done.below(tmp_path, ["a"]) == Done(1, 1)
    assert Done.below(tmp_path, ["a", "c"]) == Done(1, 2)
    assert Done.below(tmp_path / "no such") == Done(0, 0)
