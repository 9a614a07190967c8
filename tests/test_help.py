"""What is answered before anything is imported that takes seconds, and what to type first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from common.codec import to_plain
from report.usage import KEYS, help_text
from stages.commands.described import experiments, own_stages
from stages.config import Config
from stages.stage import list_stages
from tests.line import PROGRAM, call

# Runs the program once for each command, and says what it had imported by then.
_IMPORTED = """
import json, runpy, sys
for words in json.loads(sys.argv[1]):
    sys.argv = [sys.argv[0], *words]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        heavy = [name for name in ("hydra", "torch") if name in sys.modules]
        print(json.dumps([words, end.code, heavy]), file=sys.stderr)
"""


def test_what_computes_nothing_imports_no_torch(tmp_path: Path) -> None:
    outputs = f"outputs={tmp_path}"
    asked = [["--version"], ["--help"], ["stage=all", "-h"]]
    answered: dict[int, list[list[str]]] = {
        0: [[], ["experiment=smoke", outputs]],
        2: [
            ["bugdet=2MB"],
            ["stage", "all"],
            ["stage=plan", "experiment=smok"],
            ["stage=plan", "experiment=smoke", "train.epoch=3"],
            ["stage=plan", "experiment=smoke", "budget=2M"],
            ["stage=teech", "experiment=smoke"],
        ],
    }
    commands = [*asked, *answered[0], *answered[2]]
    code = _IMPORTED.replace("sys.argv[0]", repr(str(PROGRAM)))
    process = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True
    )
    rows = [json.loads(row) for row in process.stderr.splitlines() if row.startswith("[")]
    assert [row[0] for row in rows] == commands
    for words, status, imported in rows:
        assert imported == ([] if words in asked else ["hydra"]), words
        assert status == (2 if words in answered[2] else 0), words
    assert process.stdout.startswith("onegig 0.")


def test_packages_that_are_missing_are_said_in_a_line() -> None:
    """As where another Python is called than that of .venv."""
    process = subprocess.run(
        [sys.executable, "-S", str(PROGRAM), "stage=all"], capture_output=True, text=True
    )
    assert process.returncode == 2 and process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith("onegig: hydra is not installed") and ".venv/bin/python" in line
    helped = subprocess.run([sys.executable, "-S", str(PROGRAM), "--help"], capture_output=True)
    assert helped.returncode == 0 and b"stages" in helped.stdout


def test_stages_are_described_as_they_are_registered() -> None:
    described = {stage.name: stage.help for stage in own_stages()}
    registered = {stage.name: stage.help for stage in list_stages()}
    assert described.items() <= registered.items()
    # Tests add stages of their own, none of which is of the project.
    assert set(registered) - set(described) <= {"best_teacher", "count"}


def test_help_names_all_stages_all_experiments_and_keys_that_there_are() -> None:
    text = help_text()
    assert len(experiments()) >= 9
    for row in (*own_stages(), *experiments()):
        assert row.help, f"{row.name} has no line '# In short: ...'"
        assert f"  {row.name} " in text and row.help in text
    for key in KEYS:
        value = to_plain(Config())
        for part in key.split("."):
            value = value[part]
    assert max(map(len, text.splitlines())) <= 100


def test_the_first_screen_says_what_to_type() -> None:
    outcome = call()
    assert outcome.status == 0 and outcome.err == ""
    assert "python orchestrate.py stage=all experiment=smoke" in outcome.out
    for row in experiments():
        assert row.name in outcome.out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["stage", "all"], "stage=all"),
        (["--stage", "all"], "stage=all"),
        (["--stage=all"], "stage=all"),
        (["all"], "stage=all"),
        (["stage=all", "demo"], "experiment=demo"),
        (["stage=all", "mine.yaml"], "experiment=mine.yaml"),
        (["budget", "2MB"], "budget=2MB"),
        (["stage", "=", "all"], "stage=all"),
        (["stage", "=all"], "stage=all"),
        (["budget="], "budget=: write bytes"),
        (["stage=teachers,distill"], "one stage at a time"),
        (["stage=ALL"], "did you mean 'all'?"),
        (["experiment=smoke.yaml"], "experiment=smoke?"),
        (["=all"], "KEY=VALUE"),
        (["--hlep"], "'--help'"),
        (["--hydra-help"], "'--help'"),
        (["-n"], "--multirun"),
        (["--cfg"], "job"),
        (["--cfg", "jobs"], "job"),
        (["stage=all", "experiment="], "conf/experiment"),
    ],
)
def test_words_that_are_no_override(words: list[str], meant: str) -> None:
    assert meant in call(*words).refusal()


def test_a_forgotten_package_line_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("run: mine\n")
    search = f"hydra.searchpath=[file://{tmp_path}]"
    assert "# @package _global_" in call("stage=plan", search, "experiment=mine").refusal()
    file.write_text("# @package _global_\nrun: mine\n")
    outcome = call(search, "experiment=mine", f"outputs={tmp_path}", "extensions=[]")
    assert outcome.status == 0, outcome.err
