"""The command line: a user's mistake is answered with one line and exit status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from stages.stage import STAGES, list_stages
from tests.line import Line, call, frames_line, start


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Not to be changed."""
    return frames_line(tmp_path_factory.getbasetemp())


@pytest.fixture
def line(finished: Line, tmp_path: Path) -> Line:
    """Nothing is done in it."""
    return finished.fresh(tmp_path)


MISTAKES = {
    "misspelt key": (["stage=plan", "budgett=1GB"], ["'budgett'", "'budget'", "members"]),
    "misspelt key, nested": (
        ["stage=plan", "train.learning_rat=1"],
        ["train: ", "'learning_rat'", "'learning_rate'"],
    ),
    "wrong type": (["stage=plan", "seed=abc"], ["seed", "abc", "int"]),
    "misspelt section": (["stage=plan", "trian.epochs=1"], ["'trian'", "'train'"]),
    "misspelt key, added": (["stage=plan", "+budgett=1GB"], ["'budgett'", "'budget'"]),
    "no value": (["stage=plan", "run=null"], ["run", "str", "None"]),
    "interpolation of nothing": (["stage=plan", "run=${nope}"], ["run", "'nope'"]),
    "no override": (["stage plan"], ["stage plan"]),
    "override that cannot be read": (
        ["stage=plan", "members={a: {family: rnn}"],
        ["'members={a: {family: rnn}'", "bracket"],
    ),
    "home folder": (["stage=plan", "data.root=~/shards"], ["'data.root=~/shards'", "$HOME"]),
    "password in what cannot be read": (
        ["stage=plan", "tune.storage=postgresql://me:secret@host/a(b"],
        ["tune.storage=postgresql://me:***@host/a(b"],
    ),
    "several values": (["stage=plan", "seed=1,2"], ["'seed=1,2'", "seed=[", "-m"]),
    "group that is no name": (["stage=plan", "train=5"], ["'train=5'", "train.KEY=VALUE"]),
    "unknown experiment": (["stage=plan", "experiment=nope"], ["nope", "smoke"]),
    "misspelt experiment": (["stage=plan", "experiment=smok"], ["'smoke'?"]),
    "unknown data set": (["stage=plan", "data=nope"], ["data/nope", "audioset"]),
    "unknown way of training": (["stage=plan", "train=nope"], ["train/nope", "one_cycle"]),
    "unknown stage": (["stage=teach"], ["stage", "'teach'", "did you mean 'teachers'?"]),
    "unknown choice": (["stage=plan", "format=csv"], ["format", "'csv'", "kaggle"]),
    "number out of range": (["stage=plan", "distill.hard_weight=2"], ["distill.hard_weight", "2"]),
    "missing data folder": (["stage=all", "data.root=/no/such"], ["/no/such", "data.root"]),
    "no data folder": (["stage=teachers", "data.root=null"], ["data.root"]),
    "no schema": (["stage=plan", "data.schema=null"], ["data.schema"]),
    "unknown schema": (["stage=plan", "data.schema=/no/such.yaml"], ["/no/such.yaml"]),
    "no shards": (["stage=teachers", "data.train.shards=none-*"], ["train", "none-*"]),
    "empty split": (
        ["stage=teachers", "data.report.hash_to=1e-9"],
        ["report", "is empty", "1e-09"],
    ),
    "no split": (["stage=teachers", "data.search.shards=null"], ["data.search.shards"]),
    "splits that share clips": (
        ["stage=teachers", "data.search.shards=train-*.tfrecord"],
        ["train", "search", "share", "train-0000", "byte"],
    ),
    "budget that no member fits": (["stage=all", "budget=1kB"], ["budget", "vlad", "plain"]),
    "budget that cannot be parsed": (["stage=plan", "budget=much"], ["budget=much", "1GiB"]),
    "no members": (["stage=plan", "~members.vlad", "~members.plain"], ["members"]),
    "unknown family": (
        ["stage=plan", "members.vlad.family=transformer"],
        ["transformer", "netvlad", "perceptron"],
    ),
    "misspelt member": (
        ["stage=plan", "members.vald.config.clusters=4"],
        ["members.vald", "'family'", "vlad, plain", "did you mean 'vlad'?"],
    ),
    "new member without a family": (
        ["stage=plan", "members.more.train.epochs=4"],
        ["members.more", "'family'"],
    ),
    "misspelt family": (["stage=plan", "members.vlad.family=netvald"], ["mean 'netvlad'?"]),
    "unknown family field": (
        ["stage=plan", "members.vlad.config.clusterz=4"],
        ["netvlad", "clusterz", "clusters"],
    ),
    "family field of a wrong type": (
        ["stage=plan", "members.vlad.config.clusters=many"],
        ["netvlad.clusters", "many"],
    ),
    "unknown train key in a member": (
        ["stage=plan", "members.vlad.train.epoch=4"],
        ["members.vlad.train", "'epoch'", "epochs"],
    ),
    "train key of a wrong type in a member": (
        ["stage=plan", "members.vlad.train.epochs=long"],
        ["members.vlad.train.epochs", "long"],
    ),
    "student of an unknown member": (
        ["stage=plan", "+distill.students={late: {member: nobody}}"],
        ["distill.students.late.member", "nobody", "vlad"],
    ),
    "student of an unknown teacher": (
        ["stage=plan", "+distill.students={late: {member: vlad, teacher: rnn}}"],
        ["distill.students.late.teacher", "rnn", "netvlad"],
    ),
    "unknown teacher of all students": (
        ["stage=plan", "distill.teacher=rnn"],
        ["distill.teacher", "rnn", "netvlad"],
    ),
    "unknown train key of all students": (
        ["stage=plan", "distill.train.epoch=4"],
        ["distill.train", "'epoch'", "epochs"],
    ),
    "bundle that does not exist": (
        ["stage=evaluate", "bundle=/no/such.safetensors"],
        ["/no/such.safetensors"],
    ),
    "no bundle yet": (["stage=predict"], ["bundle.safetensors", "stage=pack"]),
    "earlier stage not done": (["stage=pack"], ["teachers/vlad", "stage=teachers"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_and_status_2(line: Line, mistake: str) -> None:
    overrides, named = MISTAKES[mistake]
    refusal = line.call(*overrides).refusal()
    for word in named:
        assert word in refusal
    assert not line.bundle.exists()


def test_mistake_that_only_a_worker_can_see(line: Line) -> None:
    """What the workers say comes after their progress; it stays one line, said once."""
    outcome = line.call("stage=teachers", "train.batch_size=1000")
    assert outcome.status == 2 and "Traceback" not in outcome.err
    (said,) = (row for row in outcome.err.splitlines() if "train.batch_size" in row)
    assert said.startswith("onegig: ") and "1000" in said and "160" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("stage", ["all", "teachers", "distill", "pack", "tune"])
def test_no_gpu_is_answered_at_once(line: Line, stage: str) -> None:
    refusal = line.call(f"stage={stage}", "device=cuda", "tune.trials=1").refusal()
    assert "device: cuda" in refusal
    assert not line.run.exists() or [path.name for path in line.run.iterdir()] == ["LOCK"]


def test_level_2_student_without_level_1(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    late = "distill.students={vlad: null, late: {member: vlad, level: 2}}"
    refusal = line.call("stage=distill", late).refusal()
    assert "distill.students.late: level 2" in refusal and "netvlad" in refusal


def test_file_that_is_no_bundle(line: Line) -> None:
    refusal = line.call("stage=evaluate", f"bundle={line.schema}").refusal()
    assert str(line.schema) in refusal


def test_run_that_another_process_holds(line: Line) -> None:
    line.run.mkdir(parents=True)
    hold = (
        "import fcntl, os, sys\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(os.getpid(), file=file, flush=True)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", hold, str(line.run / "LOCK")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        refusal = line.call("stage=plan").refusal()
        assert str(line.run) in refusal and str(holder.pid) in refusal
        holder.communicate("")
    assert line.call("stage=plan").status == 0


def test_as_a_process_from_anywhere(tmp_path: Path) -> None:
    process = start("stage=plan", "experimint=smoke", cwd=tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert out == "" and len(err.splitlines()) == 1
    assert err.startswith("onegig: ") and "experimint" in err
    assert list(tmp_path.iterdir()) == []


def test_several_configurations_in_one_call(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call("-m", *line.overrides("stage=plan", "run=one,two"))
    assert outcome.status == 0 and outcome.err == ""
    for run in ("one", "two"):
        assert (line.outputs / run / "plan.json").exists()
    refusal = call("-m", *line.overrides("stage=plan", "train.epochs=1,many")).refusal()
    assert "train.epochs" in refusal and "'many'" in refusal


def test_without_a_stage_the_stages_are_listed(line: Line) -> None:
    for outcome in (line.call(), call()):
        assert outcome.status == 0 and outcome.err == ""
        for stage in list_stages():
            (found,) = (r for r in outcome.out.splitlines() if r.strip().startswith(stage.name))
            assert stage.help in found
    assert "no such run yet" in line.call().out
    assert not line.run.exists()


LATER = ("ensemble", "soft", "students", "quantized", "selection", "bundle")


@pytest.mark.parametrize(
    ("without", "teachers", "distill", "following"),
    [
        ((), "[done]", "[done]", "predict"),
        (("bundle",), "[done]", "[done]", "pack"),
        (LATER, "[done]", "", "ensemble"),
        (LATER[1:], "[done]", "", "distill"),
    ],
)
def test_listing_says_what_is_done_and_what_comes_next(
    finished: Line,
    tmp_path: Path,
    without: tuple[str, ...],
    teachers: str,
    distill: str,
    following: str,
) -> None:
    line = finished.copy(tmp_path, *without)
    outcome = line.call()
    assert outcome.status == 0
    assert _mark(outcome.out, "teachers") == teachers
    assert _mark(outcome.out, "distill") == distill
    assert f"next is stage={following}" in outcome.out


def test_listing_of_a_stage_that_is_half_done(finished: Line, tmp_path: Path) -> None:
    line = finished.copy(tmp_path)
    (line.run / "teachers" / "plain" / "DONE").unlink()
    outcome = line.call()
    assert _mark(outcome.out, "teachers") == "[1 of 2 done]"
    assert "next is stage=teachers" in outcome.out


def test_listing_counts_what_this_configuration_lacks(finished: Line) -> None:
    """A member that was added is not done; neither is one whose settings were changed."""
    for change in ("+members={more: {family: perceptron}}", "train.learning_rate=0.1"):
        outcome = finished.call(change)
        assert outcome.status == 0, outcome.err
        assert _mark(outcome.out, "teachers") != "[done]", change
        assert "next is stage=teachers" in outcome.out


def _mark(listing: str, stage: str) -> str:
    """What stands behind the line of a stage."""
    (row,) = (row for row in listing.splitlines() if row.strip().startswith(stage))
    return row.split(STAGES.get(stage).help)[1].strip()
