"""Scores on the way: they are right, the same after every kill, and change no weight."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from common.errors import ConfigError
from families import FamilyModule, build
from metrics import StreamingScores
from records import Split, iterate_batches
from tests.conftest import SMALL_FRAMES
from tests.training.small import DBOF, TRAIN, StopsAt, same, small_trainer
from training.evaluation import Evaluation, spread_evenly
from training.log import METRICS_NAME, Diverged
from training.objective import HardLabels
from training.stop import Interrupted
from training.trained import Trained

# Five steps an epoch: scored within and at the end of each.
OFTEN = replace(TRAIN, evaluate_every=0.6, evaluate_clips=30)


def train(
    split: Split, folder: Path, search: Split | None = None, objective: HardLabels | None = None
) -> Trained:
    evaluation = Evaluation.of(search, OFTEN, len(split), folder) if search else None
    return small_trainer(split, folder, OFTEN, objective, evaluation=evaluation).run()


def evaluations(folder: Path) -> list[dict[str, Any]]:
    """Without what they took."""
    lines = [json.loads(line) for line in (folder / METRICS_NAME).read_text().splitlines()]
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    found = [line for line in lines if "search" in line]
    assert all(line.pop("seconds") > 0 for line in found)
    return found


@pytest.fixture(scope="module")
def watched(split: Split, search: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was scored and never interrupted."""
    folder = tmp_path_factory.mktemp("watched")
    train(split, folder, search)
    return folder


def test_scoring_changes_no_weight(split: Split, search: Split, tmp_path: Path) -> None:
    trainings = [train(split, tmp_path / str(n), own) for n, own in enumerate((None, search))]
    assert same(trainings[0].main, trainings[1].main)
    assert same(trainings[0].average, trainings[1].average)
    assert trainings[0].evaluation_seconds == 0 < trainings[1].evaluation_seconds


def test_it_is_scored_when_it_should_be(watched: Path) -> None:
    found = evaluations(watched)
    # Ten steps, and five in which the average is kept.
    assert [line["step"] for line in found] == [3, 6, 9, 10, 12, 15]
    assert [line["epoch"] for line in found] == [0.6, 1.2, 1.8, 2.0, 2.4, 3.0]
    assert [line["phase"] for line in found] == ["main"] * 4 + ["average"] * 2


def scored_plainly(weights: dict[str, Tensor] | None, sample: Split) -> dict[str, float]:
    assert weights is not None
    model = build("dbof", DBOF, SMALL_FRAMES).eval()
    model.load_state_dict(weights)
    scores = StreamingScores(SMALL_FRAMES.num_labels)
    with torch.no_grad():
        for batch in iterate_batches(sample, len(sample)):
            scores.update(model(batch.to("cpu").features, batch.mask), batch.labels)
    return scores.compute()


def test_scores_are_those_of_the_weights_at_the_end(
    watched: Path, split: Split, search: Split, tmp_path: Path
) -> None:
    trained = train(split, tmp_path, search)
    by_step = {line["step"]: line["search"] for line in evaluations(watched)}
    for step, weights in ((10, trained.main), (15, trained.average)):
        wanted = scored_plainly(weights, search.select(np.arange(0, 60, 2)))
        assert by_step[step].keys() == {"gap", "hit_at_1", "perr"}
        for name, score in by_step[step].items():
            assert score == pytest.approx(wanted[name], abs=1e-6)


# Before a score, with it, in the averaging.
@pytest.mark.parametrize(
    ("stop", "error"),
    [(3, None), (6, KeyError("as if killed")), (7, KeyError("killed")), (10, None), (13, None)],
)
def test_interrupted_training_has_the_same_scores(
    watched: Path,
    split: Split,
    search: Split,
    tmp_path: Path,
    stop: int,
    error: BaseException | None,
) -> None:
    with pytest.raises((Interrupted, KeyError)):
        train(split, tmp_path, search, StopsAt(stop, error))
    train(split, tmp_path, search)
    assert evaluations(tmp_path) == evaluations(watched)


def test_a_sample_is_spread_evenly(split: Split) -> None:
    assert len(spread_evenly(split, 1000)) == len(split) == 160
    for count in (1, 7, 159):
        sample = spread_evenly(split, count)
        rows = np.flatnonzero(np.isin(split.position, sample.position))
        assert len(sample) == count and len(rows) >= count
    assert spread_evenly(split, 4).shard.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("clips", "settings", "count"),
    [
        (10_000, {}, 500),
        (10_000, {"evaluate_every": 0.5}, 250),
        (1_000_000, {}, 2_000),
        (100, {}, 20),
        (100, {"evaluate_clips": 7}, 7),
    ],
)
def test_a_sample_is_a_twentieth_at_most(
    clips: int, settings: dict[str, Any], count: int, split: Split, tmp_path: Path
) -> None:
    many = split.select(np.arange(160))
    object.__setattr__(many, "shard", np.zeros(3_000, np.uint32))
    object.__setattr__(many, "position", np.arange(3_000, dtype=np.uint64))
    object.__setattr__(many, "length", np.ones(3_000, np.uint32))
    evaluation = Evaluation.of(many, replace(TRAIN, **settings), clips, tmp_path)
    assert evaluation is not None and len(evaluation.split) == count
    for never in (0, None):
        assert Evaluation.of(many, replace(TRAIN, evaluate_every=never), clips, tmp_path) is None


class Broken(FamilyModule):
    def __init__(self) -> None:
        super().__init__(None, SMALL_FRAMES)
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def forward(self, features: object, mask: Tensor | None = None) -> Tensor:
        assert mask is not None
        return torch.full((len(mask), 30), float("nan"))


def test_what_cannot_be_scored_is_said_in_a_line(search: Split, tmp_path: Path) -> None:
    evaluation = Evaluation(search, 32, tmp_path)
    with pytest.raises(Diverged, match=r"log-odds on search are not finite; lower train\.learn"):
        evaluation.score(Broken(), lambda: False)
    bare = replace(search, schema=replace(SMALL_FRAMES, labels_key=""))
    with pytest.raises(ConfigError, match=r"train\.evaluate_clips: none of the 60 clips of search"):
        Evaluation(bare, 32, tmp_path).score(build("dbof", DBOF, SMALL_FRAMES), lambda: False)
