"""The training loop: what a kill may not change, and what averaging and schedules are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from common.errors import ConfigError
from families import FamilyModule
from records import Batch, Split, read_truth
from runs import NOTE
from tests.training.small import TRAIN, StopsAt, same, small_trainer
from training.averaging import WeightAverage
from training.checkpoint import CHECKPOINT_NAME
from training.config import TrainConfig
from training.course import Phases
from training.feed import Beside
from training.log import METRICS_NAME, Diverged
from training.objective import HardLabels
from training.schedule import Schedule
from training.stop import Interrupted
from training.trained import Trained


def train(
    split: Split,
    folder: Path,
    objective: HardLabels | None = None,
    config: TrainConfig = TRAIN,
    beside: Beside | None = None,
) -> Trained:
    return small_trainer(split, folder, config, objective, beside=beside).run()


@pytest.fixture(scope="module")
def whole(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training that nothing interrupts."""
    return train(split, tmp_path_factory.mktemp("whole"))


# 5 steps an epoch: within the first epoch, at its end, in the second, and while averaging.
@pytest.mark.parametrize(
    ("stop", "error"),
    [(2, None), (5, KeyError("as if killed")), (10, None), (11, None), (14, KeyError("killed"))],
)
def test_interrupted_training_ends_at_the_same_bytes(
    whole: Trained, split: Split, tmp_path: Path, stop: int, error: BaseException | None
) -> None:
    with pytest.raises((Interrupted, KeyError)):
        train(split, tmp_path / "cut", StopsAt(stop, error))
    assert (tmp_path / "cut" / CHECKPOINT_NAME).exists()
    resumed = train(split, tmp_path / "cut")
    assert same(whole.main, resumed.main)
    assert same(whole.average, resumed.average)
    lines = [json.loads(x) for x in (tmp_path / "cut" / METRICS_NAME).read_text().splitlines()]
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps)) and steps[-1] == 15


def test_killed_after_its_last_step_it_has_nothing_left_to_do(
    whole: Trained, split: Split, tmp_path: Path
) -> None:
    train(split, tmp_path / "run")
    again = train(split, tmp_path / "run", StopsAt(1, KeyError("a step")))
    assert same(whole.main, again.main) and same(whole.average, again.average)
    assert again.steps == 15 and again.clips_per_second > 0
    assert again.loss == whole.loss


class Watches(StopsAt):
    """Notes the clips of each batch, and those of them that have labels."""

    def __init__(self, call: int = 0, error: BaseException | None = None) -> None:
        super().__init__(call, error)
        self.ids: list[list[str]] = []
        self.labeled: set[int] = set()

    def __call__(self, model: FamilyModule, batch: Batch) -> tuple[Tensor, Tensor]:
        self.ids.append(batch.ids)
        self.labeled.update(batch.labels[:, 0].tolist())
        return super().__call__(model, batch)


def test_clips_beside_have_their_share_of_every_batch(split: Split, tmp_path: Path) -> None:
    own, others = split.select(np.arange(120)), split.select(np.arange(120, 160))
    beside = Beside(others, 0.25)
    watched = Watches()
    whole = train(own, tmp_path / "whole", watched, beside=beside)
    # 24 and 8 of 32; two epochs of the training split and one of averaging, 5 steps each.
    assert [len(set(ids)) for ids in watched.ids] == [32] * 15
    first = set(read_truth(own).ids)
    assert all(set(ids[:24]) <= first and not set(ids[24:]) & first for ids in watched.ids)
    # No step of an epoch of either has a clip of another step of it.
    assert len({name for ids in watched.ids[5:10] for name in ids[:24]}) == 120
    assert len({name for ids in watched.ids[5:10] for name in ids[24:]}) == 40
    assert max(watched.labeled) == 23
    with pytest.raises(KeyError):
        train(own, tmp_path / "cut", Watches(8, KeyError("as if killed")), beside=beside)
    again = Watches()
    assert same(whole.average, train(own, tmp_path / "cut", again, beside=beside).average)
    assert again.ids == watched.ids[7:]


@pytest.mark.parametrize(("share", "clips"), [(0.01, 0), (0.99, 32), (0.5, 16)])
def test_a_share_that_no_batch_can_have_is_refused(
    split: Split, tmp_path: Path, share: float, clips: int
) -> None:
    beside = Beside(split.select(np.arange(10)), share)
    with pytest.raises(ConfigError, match=f"share: {share:g} of a batch of 32 are {clips} clips"):
        train(split, tmp_path / "run", beside=beside)


def test_a_damaged_checkpoint_counts_as_none(
    whole: Trained, split: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Interrupted):
        train(split, tmp_path / "cut", StopsAt(7))
    checkpoint = tmp_path / "cut" / CHECKPOINT_NAME
    content = bytearray(checkpoint.read_bytes())
    content[-100] ^= 1
    checkpoint.write_bytes(content)
    assert same(whole.main, train(split, tmp_path / "cut").main)
    said = f"{NOTE}{checkpoint} is damaged; the training begins anew"
    assert said in capsys.readouterr().out.splitlines()


def test_training_lowers_the_loss(split: Split, tmp_path: Path) -> None:
    longer = TrainConfig(**{**vars(TRAIN), "epochs": 30, "decay": 1.0})
    train(split, tmp_path / "run", config=longer)
    lines = (tmp_path / "run" / METRICS_NAME).read_text().splitlines()
    first, last = (json.loads(lines[i])["loss"] for i in (0, -1))
    assert last < 0.6 * first


def test_infinite_loss_is_named(split: Split, tmp_path: Path) -> None:
    class Explodes(HardLabels):
        def __call__(self, model: FamilyModule, batch: Batch) -> tuple[Tensor, Tensor]:
            loss, output = super().__call__(model, batch)
            return loss * float("inf"), output

    with pytest.raises(Diverged, match="at step 1; lower"):
        train(split, tmp_path / "run", Explodes())


def test_batch_larger_than_the_split_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size: 128 is more than the 100"):
        Phases.plan(100, TrainConfig())


def test_max_steps_cuts_both_phases() -> None:
    assert Phases.plan(1000, TrainConfig(max_steps=3)) == Phases(3, 0, 7)
    assert Phases.plan(1000, TrainConfig(epochs=2, averaging_epochs=0.5)).total == 18


def test_one_cycle_is_that_of_torch() -> None:
    config = TrainConfig(schedule="one_cycle", learning_rate=0.3, warmup=0.25)
    schedule = Schedule(config, main_steps=40, steps_per_epoch=10)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.3, total_steps=40, pct_start=0.25
    )
    for step in range(40):
        assert schedule.learning_rate(step) == pytest.approx(reference.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < 39:
            reference.step()
    assert schedule.averaging_rate(39) == pytest.approx(0.06)


def test_exponential_decays_by_epochs_and_averages_at_a_fifth() -> None:
    schedule = Schedule(TrainConfig(), main_steps=20, steps_per_epoch=10)
    assert schedule.learning_rate(9) == pytest.approx(2e-4)
    assert schedule.learning_rate(10) == pytest.approx(1.6e-4)
    assert schedule.averaging_rate(19) == pytest.approx(1.6e-4 / 5)


def test_weight_average_is_the_weighted_sum_of_what_it_saw() -> None:
    model: Any = nn.BatchNorm1d(3)
    seen = [torch.randn(3) for _ in range(6)]
    average = None
    for values in seen:
        with torch.no_grad():
            model.weight.copy_(values)
            model.running_mean = 10 * values
            model.num_batches_tracked += 3
        if average is None:
            average = WeightAverage(model, decay=0.7)
        else:
            average.update(model)
    assert average is not None
    keep = 0.7
    expected = seen[0] * keep**5
    for age, values in enumerate(reversed(seen[1:])):
        expected = expected + (1 - keep) * keep**age * values
    torch.testing.assert_close(average.state_dict()["weight"], expected)
    torch.testing.assert_close(average.state_dict()["running_mean"], 10 * expected)
    assert average.state_dict()["num_batches_tracked"] == 18, "integers are copied"


def test_defaults_are_the_winners() -> None:
    """Their code: an average that keeps 1 - 1/2000 a step, each tensor clipped to norm 1."""
    train = TrainConfig()
    assert train.averaging_decay == pytest.approx(1 - 1 / 2000, abs=1e-12)
    assert (train.clip, train.clip_norm) == ("tensor", 1.0)
    assert (train.optimizer, train.learning_rate, train.decay) == ("adam", 2e-4, 0.8)
    assert (train.averaging_divisor, train.draw_frames) == (5.0, 300)
