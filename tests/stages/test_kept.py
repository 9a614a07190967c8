"""What a configuration is once trials took a member's place."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from stages.config import Config, config_from
from stages.members import MemberConfig
from stages.tuning.kept import with_kept, write_experiment
from tests.test_experiments import experiment

KEPT = {"bag-t4": MemberConfig("dbof", {"clusters": 9}), "bag-t1": MemberConfig("dbof")}


def test_what_was_of_a_member_is_of_its_best_trial() -> None:
    config = with_kept(experiment("audioset"), "bag", KEPT)
    assert "bag" not in config.members
    assert [name for name in config.members if name.startswith("bag-t")] == list(KEPT)
    assert config.members["bag-t4"].config == {"clusters": 9}
    assert config.members["recall-bag"].config["of"] == "bag-t4"
    assert config.host_of("recall-bag") == "bag-t4" and config.host_of("recall-drawn") == "drawn"
    assert config.students["bag-labels"].member == "bag-t4"
    assert {"bag-t4", "bag-t1"} <= config.students.keys()
    assert list(config.members)[:3] == ["deep", "bag-t4", "bag-t1"]


def test_students_of_its_name_follow_and_those_left_out_stay_out() -> None:
    config = experiment("audioset")
    one = with_kept(config, "clusters", {"clusters-t2": config.members["clusters"]})
    names = list(config.students)
    assert list(one.students) == ["clusters-t2" if n == "clusters" else n for n in names]
    assert one.students["clusters-t2"].member == "clusters-t2"
    without = experiment("audioset", "distill.students.bag=null")
    kept = with_kept(without, "bag", KEPT)
    assert not {"bag", *KEPT} & kept.students.keys()


def test_an_experiment_says_all_that_differs_and_no_more(tmp_path: Path) -> None:
    secret = "postgresql://me:secret@host/studies"
    config = with_kept(experiment("audioset", f"tune.storage='{secret}'", "jobs=3"), "bag", KEPT)
    path = tmp_path / "experiment.yaml"
    write_experiment(path, config, ["bag-t4: gap 0.5"])
    text = path.read_text()
    assert "secret" not in text and "\ntune:" not in text
    assert "# bag-t4: gap 0.5\n" in text and "copies" not in text
    found = config_from(OmegaConf.to_container(OmegaConf.load(path)))
    own = [found.members, found.students, found.data, found.train, found.ensemble, found.budget]
    assert own == [
        *(config.members, config.students, config.data, config.train),
        *(config.ensemble, config.budget),
    ]
    assert Path(found.outputs).is_absolute() and found.jobs == Config().jobs
