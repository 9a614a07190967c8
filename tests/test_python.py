"""From Python: the bundle of the command line, errors instead of an exit, call after call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ConfigError, UserError
from common.registry import restored
from onegig import fit, run_stage
from quantize import Bundle
from runs import RunError
from stages.commands.overrides import as_overrides
from tests.line import PROGRAM, Line, frames_line, means_line, processes_on, wait_for
from training.checkpoint import CHECKPOINT_NAME


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Two members on frames. Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, which no call may write to."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    assert Path.cwd() == folder and list(folder.iterdir()) == []


def test_fit_makes_the_bundle_of_the_command_line(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Given keys by name, and in a process of two threads."""
    there = means_line(tmp_path_factory.getbasetemp())
    line = there.fresh(tmp_path)
    data = {"generated": False, "vocabulary": None, "schema": line.schema, "root": line.data}
    without = ("~members.vlad", "~members.bag", "~members.sequence")
    torch.set_num_threads(2)
    try:
        run = fit(
            "smoke", *without, data=data, train={"batch_size": 8}, outputs=line.outputs, jobs=1
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert run.folder == line.run
    assert line.bundle.read_bytes() == there.bundle.read_bytes()
    assert line.receipt.read_bytes() == there.receipt.read_bytes()
    assert run.score == json.loads(line.receipt.read_text())["search_gap"]


def test_what_a_run_shows(
    finished: Line, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = finished.copy(tmp_path)
    run = fit(None, *line.overrides())
    said = capsys.readouterr()
    assert "GAP on report" in said.out and "stage 1 of 6: plan" in said.err
    receipt = json.loads(line.receipt.read_text())
    table = run.leaderboard()
    assert set(table.index) == {"vlad", "plain"} and table["GAP student"].is_monotonic_decreasing
    packed = {own["name"]: own for own in (*receipt["members"], *receipt["left_out"])}
    for name, row in table.iterrows():
        summary = json.loads((line.run / "students" / str(name) / "DONE").read_text())["summary"]
        assert row["GAP student"] == summary[f"gap_report_{summary['kept']}"]
        assert row["bytes"] == packed[name]["bytes"]
    assert "adds" in table and "GAP packed" in table
    assert isinstance(run.bundle, Bundle)
    assert {own.name for own in run.bundle.members} == {own["name"] for own in receipt["members"]}
    page = run.report()
    assert Path(page) == line.run / "report.html"
    shown = page._repr_html_()
    assert shown.startswith("<iframe") and 'sandbox="allow-scripts"' in shown
    assert "<script" not in shown and "&lt;script" in shown
    assert "python orchestrate.py stage=all experiment=smoke" in Path(page).read_text()


def test_one_call_after_the_other(
    finished: Line, tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = finished.copy(tmp_path)
    (line.run / "report.html").unlink()
    before = GlobalHydra.instance().is_initialized()
    overrides = line.overrides()
    smaller = run_stage("pack", *overrides, budget="10kB", verbosity="quiet")
    (member,) = smaller.bundle.members
    assert member.name == "plain"
    # The table of a stage that scores no contribution, and the page that it did not write.
    assert "adds" not in smaller.leaderboard()
    assert Path(smaller.report()).exists()
    monkeypatch.chdir(line.outputs.parent)
    larger = run_stage("pack", *overrides, outputs=line.outputs.name)
    monkeypatch.chdir(elsewhere)
    assert line.bundle.read_bytes() == finished.bundle.read_bytes()
    scores: Any = run_stage("evaluate", *overrides, bundle=line.bundle).result
    assert scores["gap"] == pytest.approx(json.loads(line.receipt.read_text())["gap"], abs=1e-6)
    assert len(larger.bundle.members) == len(Bundle.load(line.bundle).members)
    assert set(larger.leaderboard().index) == {"vlad", "plain"}
    assert GlobalHydra.instance().is_initialized() == before


def test_a_program_that_uses_hydra_itself_goes_on(finished: Line, tmp_path: Path) -> None:
    own = tmp_path / "conf"
    own.mkdir()
    (own / "config.yaml").write_text("mine: 1\n")
    with initialize_config_dir(str(own), version_base="1.3"):
        run_stage("plan", *finished.fresh(tmp_path).overrides())
        assert compose("config").mine == 1
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize(
    ("given", "keys", "named"),
    [
        (["budgett=1GB"], {}, ["'budgett'", "did you mean 'budget'"]),
        (["no override"], {}, ["no override"]),
        (["-m"], {}, ["-m"]),
        (["budget=1GB,2GB"], {}, ["budget=1GB,2GB"]),
        ([], {"train": {"epoch": 3}}, ["train: ", "'epoch'", "'epochs'"]),
        ([], {"seed": "abc"}, ["seed", "'abc'"]),
        ([], {"members": {"vlad": {"family": "nope"}}}, ["nope", "netvlad"]),
        ([], {"experiment": "nope"}, ["nope", "smoke"]),
        ([], {"experiment": "/no/such.yaml"}, ["/no/such.yaml"]),
        ([], {"budget": object()}, ["budget", "object"]),
        ([], {"budget": "much"}, ["budget", "much"]),
    ],
)
def test_a_mistake_is_an_error_of_one_line(
    finished: Line, tmp_path: Path, given: list[str], keys: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(UserError) as refused:
        run_stage("plan", *finished.fresh(tmp_path).overrides(), *given, **keys)
    for word in named:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_not_there_is_said(finished: Line, tmp_path: Path) -> None:
    line = finished.fresh(tmp_path)
    with pytest.raises(ConfigError, match="unknown stage 'packk'"):
        run_stage("packk", *line.overrides())
    with pytest.raises(RunError, match="run stage=teachers first"):
        run_stage("pack", *line.overrides())
    run = run_stage("plan", *line.overrides())
    with pytest.raises(RunError, match="run stage=teachers first"):
        run.leaderboard()
    with pytest.raises(ConfigError, match="run stage=pack first"):
        _ = run.bundle


def test_a_file_of_an_own_family_is_edited_between_calls(finished: Line, tmp_path: Path) -> None:
    line = finished.fresh(tmp_path)
    file = tmp_path / "own.py"
    text = (Path(__file__).parent / "extensions" / "mean_max.py").read_text()
    own = {"extensions": [file], "members": {"mine": {"family": "mean_max"}}, "train.epochs": 1}
    others = ("~members.vlad", "~members.plain", "train.averaging_epochs=0")
    parameters = []
    with restored():
        for hidden in (8, 16):
            file.write_text(text.replace("= 256", f"= {hidden}"))
            run = run_stage("teachers", *line.overrides(*others), **own)
            parameters.append(int(run.leaderboard()["parameters"]["mine"]))
    assert parameters[0] < parameters[1]
    # The next process finds one code by which it was made.
    code = json.loads((line.run / "teachers" / "mine" / "code.json").read_text())
    assert len(code["versions"]) == 1


NOTEBOOK = """
import signal, sys
import numpy, torch
signal.signal(signal.SIGINT, signal.default_int_handler)
from onegig import run_stage
try:
    run_stage("teachers", *sys.argv[1:], "train.epochs=40", "train.checkpoint_seconds=0")
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(run_stage("teachers", *sys.argv[1:]).leaderboard().index.tolist())
"""


def test_an_interrupted_call_leaves_a_process_that_goes_on(finished: Line, tmp_path: Path) -> None:
    """As the kernel of a notebook is: started anywhere, its libraries imported before."""
    line = finished.fresh(tmp_path)
    checkpoint = line.run / "teachers" / "vlad" / CHECKPOINT_NAME
    path = {"PYTHONPATH": str(PROGRAM.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", NOTEBOOK, *line.overrides()],
        env={**os.environ, **path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert wait_for(checkpoint.exists, process)
    process.send_signal(2)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert lines[0] == "interrupted" and sorted(eval(lines[-1])) == ["plain", "vlad"]
    assert not processes_on(line.run)


WORDS = st.text() | st.sampled_from(["null", "True", "1e3", "2MB", "0x1", "/a/b", "a,b", "'", "\\"])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | st.integers() | FLOATS | WORDS
NAMES = st.from_regex(r"[a-z][a-z0-9_.+ =:{},\[\]-]*", fullmatch=True)
VALUES = st.recursive(
    LEAVES,
    lambda own: st.lists(own, max_size=3) | st.dictionaries(NAMES, own, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(VALUES)
def test_hydra_reads_what_was_given(value: Any) -> None:
    (text,) = as_overrides({"distill.train.deep": [value]})
    read = OverridesParser.create().parse_override(text)
    assert read.key_or_group == "distill.train.deep"
    assert repr(read.value()) == repr([value])


def test_mappings_are_keys_of_their_own() -> None:
    members = {"members": {"wide": {"config": {"hidden": [8]}}, "a.b": {"family": "dbof"}}}
    assert as_overrides({"train": {"epochs": 3}, **members}) == [
        "train.epochs=3",
        "members={wide:{config:{hidden:[8]}},a.b:{family:dbof}}",
    ]
