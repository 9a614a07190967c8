"""Stage `tune` as it is called: trials are trained once, the best become members."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml

from metrics import Labels, gap
from records.folds import HELD
from runs import Predictions
from stages.jobs import WEIGHTS_NAME, predictions_name
from stages.tuning.searches import TUNE_FOLDER
from tests.conftest import SMALL_MEANS, make_clips
from tests.line import (
    Line,
    blank_means_line,
    call,
    killed_at_checkpoint,
    processes_on,
    wait_for,
)
from training.checkpoint import CHECKPOINT_NAME
from tune.storage import STUDIES_NAME

CHANGES = (
    *("~members.vlad", "~members.bag", "~members.sequence"),
    *("~tune.space.members.bag", "tune.members=[plain]"),
    # A checkpoint at every step takes its time.
    "train.batch_size=32",
)


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """One perceptron, nothing done."""
    return blank_means_line(tmp_path_factory.mktemp("tuning"), CHANGES)


@pytest.fixture(scope="module")
def tuned(blank: Line) -> Line:
    """Five trials, one after the other. Not to be changed."""
    outcome = blank.call("stage=tune", "tune.trials=5", "jobs=1")
    assert outcome.status == 0, outcome.err
    assert "study plain-" in outcome.out and "experiment  " in outcome.out
    return blank


def trials(line: Line) -> list[dict[str, str]]:
    """The table of all trials, without what they took."""
    with (line.run / TUNE_FOLDER / "plain.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def kept(line: Line) -> list[str]:
    experiment = yaml.safe_load((line.run / TUNE_FOLDER / "experiment.yaml").read_text())
    return list(experiment["members"])


def test_the_best_trials_are_members_of_an_experiment_that_runs(tuned: Line) -> None:
    rows = trials(tuned)
    done = {f"plain-t{row['trial']}": float(row["gap"]) for row in rows if row["state"] != "pruned"}
    assert kept(tuned) == sorted(done, key=lambda name: -done[name])[:3]
    assert {row["trial"] for row in rows if row["state"] == "kept"} == {n[7:] for n in kept(tuned)}
    before = tuned.done()
    assert {name for name in before if name.startswith("teachers/")} == {
        f"teachers/{name}" for name in done
    }
    # A trial that was pruned leaves nothing.
    assert {path.name for path in (tuned.run / "teachers").iterdir()} == set(done)
    outcome = call("stage=teachers", f"experiment={tuned.run / TUNE_FOLDER / 'experiment.yaml'}")
    assert outcome.status == 0, outcome.err
    assert "started" not in outcome.err and tuned.done() == before
    assert [row.split()[0] for row in outcome.out.splitlines()[1:4]] == kept(tuned)


def test_the_pictures_are_there_and_are_drawn_once(tuned: Line) -> None:
    pictures = {p.name: p.stat().st_mtime_ns for p in (tuned.run / TUNE_FOLDER).glob("*.png")}
    assert {"plain-history.png", "plain-parallel.png"} <= pictures.keys()
    outcome = tuned.call("stage=tune", "tune.trials=5", "jobs=1")
    assert outcome.status == 0 and "started" not in outcome.err
    again = {p.name: p.stat().st_mtime_ns for p in (tuned.run / TUNE_FOLDER).glob("*.png")}
    assert again == pictures


@pytest.mark.slow
def test_the_same_study_comes_out_however_often_it_is_killed(tuned: Line, tmp_path: Path) -> None:
    line, generator = tuned.fresh(tmp_path), random.Random(3)
    finished: dict[str, int] = {}
    settings = ("stage=tune", "tune.trials=5", "jobs=1", "train.checkpoint_seconds=0")
    for trial in (0, 2):
        process = line.start(*settings)
        moment = f"teachers/plain-t{trial}/{generator.choice([CHECKPOINT_NAME, 'job.json'])}"
        try:
            wait_for((line.run / moment).exists, process)
        finally:
            process.kill()
            process.communicate()
        wait_for(lambda: not processes_on(line.run))
        assert finished.items() <= line.done().items()
        finished = line.done()
    outcome = line.call(*settings)
    assert outcome.status == 0, outcome.err
    left = {name: when for name, when in finished.items() if name in line.done()}
    assert left.items() <= line.done().items()
    assert trials(line) == trials(tuned) and kept(line) == kept(tuned)
    for name in kept(tuned):
        weights = f"teachers/{name}/{WEIGHTS_NAME}"
        assert (line.run / weights).read_bytes() == (tuned.run / weights).read_bytes()


def test_a_killed_worker_costs_no_trial(tuned: Line, tmp_path: Path) -> None:
    line = tuned.fresh(tmp_path)
    victim = line.run / "teachers" / "plain-t0"
    with killed_at_checkpoint(victim):
        outcome = line.call("stage=tune", "tune.trials=2", "jobs=2", "train.checkpoint_seconds=0")
    assert outcome.status == 0, outcome.err
    assert outcome.err.count("teachers/plain-t0: started") == 2
    assert len(trials(line)) == 2
    weights = f"teachers/plain-t0/{WEIGHTS_NAME}"
    assert (line.run / weights).read_bytes() == (tuned.run / weights).read_bytes()


def test_more_trials_are_added_to_those_that_are_done(tuned: Line, tmp_path: Path) -> None:
    line = tuned.copy(tmp_path)
    before, rows = line.done(), trials(line)
    outcome = line.call("stage=tune", "tune.trials=6", "tune.keep=1", "jobs=1")
    assert outcome.status == 0, outcome.err
    assert outcome.err.count("started") == 1 and "plain-t5: started" in outcome.err
    assert before.items() <= line.done().items() and len(kept(line)) == 1
    assert [row | {"state": ""} for row in trials(line)[:5]] == [r | {"state": ""} for r in rows]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("tune.trials=0", "tune.trials: 0; say how many a study has"),
        ("tune.members=[plan]", "tune.members: no member 'plan'; there are plain"),
        ("+tune.space.members.plan.config.x={low: 1, high: 2}", "no member 'members.plan'"),
        ("tune.space.members.plain.config.hiden={low: 1, high: 2}", "did you mean 'hidden'?"),
        ("tune.space.members.plain.config.dropout={low: 0, high: 1}", "dropout: high 1: "),
        ("tune.space.members.plain.train.epochs={low: -1, high: 1}", "train.epochs: low -1: "),
        ("tune.space.members.plain.config.hidden={choices: [[0]]}", "config.hidden: choice [0]: "),
        ("tune.objectives=[gup]", "tune.objectives[0]: must be one of gap, map"),
        ("tune.sampler=best", "tune.sampler: must be one of tpe, random"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_the_first_trial(
    tuned: Line, tmp_path: Path, setting: str, said: str
) -> None:
    line = tuned.fresh(tmp_path)
    assert said in line.call("stage=tune", "tune.trials=3", setting).refusal()
    assert not (line.run / "teachers").exists()


def test_a_space_in_which_all_diverge_says_so(tuned: Line, tmp_path: Path) -> None:
    rate = "tune.space.members.plain.train.learning_rate={choices: [1e30]}"
    line = tuned.fresh(tmp_path)
    outcome = line.call("stage=tune", "tune.trials=9", "jobs=1", rate)
    assert outcome.status == 2 and "Traceback" not in outcome.err
    last = outcome.err.splitlines()[-1]
    assert last.startswith("onegig: teachers/plain-t2: ") and "lower train.learning_rate" in last


def test_what_is_too_large_is_not_trained_and_the_front_is_of_bytes(
    tuned: Line, tmp_path: Path
) -> None:
    line = tuned.fresh(tmp_path)
    outcome = line.call(
        *("stage=tune", "tune.trials=4", "tune.objectives=[gap,bytes]", "tune.max_bytes=4kB"),
        "tune.space.members.plain.config.hidden={choices: [[8], [400], [500]]}",
    )
    assert outcome.status == 0, outcome.err
    rows = trials(line)
    large = [row for row in rows if row["config.hidden"] != "[8]"]
    assert large and all(row["state"] == "not trained" for row in large)
    assert "are more than tune.max_bytes=4kB" in large[0]["why"]
    assert len(rows) - len(large) == 4
    assert all(float(row["bytes"]) <= 4000 for row in rows if row not in large)
    assert (line.run / TUNE_FOLDER / "plain-front.png").exists()


def test_all_goes_on_with_what_was_kept(tuned: Line, tmp_path: Path) -> None:
    line = tuned.copy(tmp_path)
    before = line.done()
    searched = ("ensemble.method=optuna", "ensemble.trials=20", "tune.searches=true")
    outcome = line.call("stage=all", "tune.trials=5", "tune.keep=2", "jobs=1", *searched)
    assert outcome.status == 0, outcome.err
    names = kept(line)
    students = {name for name in line.done() if name.startswith("students/")}
    assert students == {f"students/{name}" for name in names} and len(names) == 2
    assert before.items() <= line.done().items()
    assert "teachers/plain: started" not in outcome.err and line.bundle.exists()
    studies = optuna.get_all_study_names(f"sqlite:///{line.run / TUNE_FOLDER / STUDIES_NAME}")
    assert {name.partition(" (")[0].partition(" of ")[0] for name in studies[1:]} == {
        *("smoke/ensemble: weights", "smoke/curve: bundle", "smoke/selection: bundle")
    }


def test_with_folds_a_trial_is_scored_on_the_fold_that_it_left_out(
    tuned: Line, tmp_path: Path
) -> None:
    line = tuned.fresh(tmp_path)
    outcome = line.call("stage=tune", "tune.trials=2", "tune.keep=1", "jobs=1", "folds=3")
    assert outcome.status == 0, outcome.err
    (best,), (score,) = kept(line), {row["gap"] for row in trials(line) if row["state"] == "kept"}
    held = Predictions.load(line.run / f"folds/0/teachers/{best}/{predictions_name(HELD)}")
    in_run = call("stage=teachers", f"experiment={line.run / TUNE_FOLDER / 'experiment.yaml'}")
    assert in_run.status == 0, in_run.err
    assert f"folds/0/teachers/{best}: started" not in in_run.err
    assert f"folds/1/teachers/{best}: started" in in_run.err
    others = Predictions.load(line.run / f"folds/1/teachers/{best}/{predictions_name(HELD)}")
    assert len(held.ids) and not set(held.ids) & set(others.ids)
    made = (*make_clips(SMALL_MEANS, 160, 0), *make_clips(SMALL_MEANS, 60, 1))
    clips = {clip.id: clip.labels for clip in made}
    true = np.array([np.isin(np.arange(30), clips[name]) for name in held.ids])
    wanted = gap(Labels.from_dense(true), None, held.to_dense())
    assert float(score) == pytest.approx(wanted, abs=1e-6)


def test_an_experiment_file_may_build_on_the_projects_own(tuned: Line, tmp_path: Path) -> None:
    """As those of conf/experiment do, with numbers as YAML 1.2 has them."""
    path = tmp_path / "my own, first.yaml"
    path.write_text(
        "# @package _global_\ndefaults: [{override /data: demo}, {override /train: one_cycle}]\n"
        "run: mine\ntrain: {learning_rate: 5e-3}\nmembers: {a: {family: perceptron}}\n"
    )
    simple = path.rename(tmp_path / "mine.yaml")
    outcome = call("stage=plan", f"experiment={simple}", f"outputs={tmp_path}")
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "mine" / "plan.json").exists()
    for text, said in (("- 1\n", "holds no keys"), ("a: [\n", "is not YAML")):
        simple.write_text(text)
        assert said in call("stage=plan", f"experiment={simple}").refusal()
    assert "cannot be read: No such" in call("stage=plan", "experiment=/no/where.yaml").refusal()


def test_a_password_that_hydra_cannot_read_is_not_shown() -> None:
    refusal = call("stage=tune", "tune.storage=postgresql://me:se{cret@host/studies").refusal()
    assert "cret" not in refusal and "se{" not in refusal
