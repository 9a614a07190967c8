"""Soft targets: the mean they are, the file, the loss that they enter."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from tfrecord.example_pb2 import SequenceExample
from torch.nn import functional as F

from distill import SoftAndHardLabels, SoftTargetError, SoftTargets, mix_teachers
from distill.merged import write_merged
from records import SplitSpec, open_split, read_truth
from runs import Predictions, PredictionsWriter
from tests.conftest import SMALL_FRAMES, dense_labels, read_records
from tests.ensemble.small import store
from tests.training.test_objective import Fixed, make_batch


def predictions(
    seed: int, clips: int, num_labels: int, stored: int
) -> tuple[Predictions, np.ndarray]:
    dense = np.random.default_rng(seed).normal(-2, 2, (clips, num_labels)).astype(np.float32)
    return store(dense, stored), dense


def test_mean_of_complete_predictions_is_the_dense_mean() -> None:
    one, dense_one = predictions(0, 7, 12, 12)
    two, dense_two = predictions(1, 7, 12, 12)
    targets = mix_teachers([one, two], [0.3, 0.7], kept=4)
    mean = 0.3 * expit(dense_one.astype(np.float64)) + 0.7 * expit(dense_two.astype(np.float64))
    rows = targets.rows([f"clip{n}" for n in range(7)])
    for clip, row in enumerate(rows):
        best = np.argsort(-mean[clip])[:4]
        assert targets.labels[row].tolist() == best.tolist()
        np.testing.assert_allclose(targets.probabilities[row], mean[clip][best], rtol=1e-6)
        assert targets.tail[row] == pytest.approx(np.delete(mean[clip], best).sum(), rel=1e-5)


def counted(teacher: Predictions, clip: int, label: int) -> float:
    """The log-odds with which a teacher's label counts, as `mix_teachers` says it."""
    stored = dict(zip(teacher.labels[clip].tolist(), teacher.log_odds[clip].tolist(), strict=True))
    if label in stored:
        return stored[label]
    share = float(teacher.tail[clip]) / (teacher.num_labels - teacher.stored)
    return math.log(share / (1 - share))


@pytest.mark.parametrize("stored", [(12, 12), (5, 5), (4, 9), (12, 3)])
def test_log_odds_are_mixed_as_in_a_loop_over_all_labels(stored: tuple[int, int]) -> None:
    teachers = [predictions(seed, 7, 12, k)[0] for seed, k in enumerate(stored)]
    targets = mix_teachers(teachers, [0.3, 0.7], kept=4, mix="log_odds")
    for clip, row in enumerate(targets.rows([f"clip{n}" for n in range(7)])):
        mixed = []
        for label in range(12):
            log_odds = 0.3 * counted(teachers[0], clip, label)
            log_odds += 0.7 * counted(teachers[1], clip, label)
            mixed.append(1 / (1 + math.exp(-log_odds)))
        best = sorted(range(12), key=lambda label: -mixed[label])[:4]
        assert targets.labels[row].tolist() == best
        np.testing.assert_allclose(
            targets.probabilities[row], [mixed[label] for label in best], rtol=1e-6
        )
        assert targets.tail[row] == pytest.approx(
            sum(mixed) - sum(mixed[b] for b in best), rel=1e-5
        )


def test_one_teacher_is_itself_in_log_odds_too() -> None:
    one, _ = predictions(0, 5, 40, 6)
    wanted = mix_teachers([one], [1.0], kept=9)
    targets = mix_teachers([one], [1.0], kept=9, mix="log_odds")
    assert np.array_equal(targets.labels[:, :6], wanted.labels[:, :6])
    np.testing.assert_allclose(targets.probabilities, wanted.probabilities, rtol=1e-6)
    np.testing.assert_allclose(targets.tail, wanted.tail, rtol=1e-5)


def test_what_nobody_stored_weighs_no_less_than_in_a_dense_mixture_of_log_odds() -> None:
    dense = np.random.default_rng(0).normal(-7, 1, (3, 6, 200)).astype(np.float32)
    dense[:, :, :5] += 9
    few, everything = ([store(member, k) for member in dense] for k in (5, 200))

    def tail(teachers: list[Predictions]) -> np.ndarray:
        return mix_teachers(teachers, [0.2, 0.3, 0.5], kept=5, mix="log_odds").tail

    assert (tail(few) > tail(everything)).all()
    np.testing.assert_allclose(tail([few[0]] * 3), tail([everything[0]] * 3), rtol=1e-4)


@pytest.mark.parametrize("level", [-200.0, 200.0])
def test_extreme_tails_stay_finite_in_log_odds(level: float) -> None:
    teacher = store(np.full((2, 9), level, dtype=np.float32), 4)
    targets = mix_teachers([teacher, teacher], [0.5, 0.5], kept=4, mix="log_odds")
    wanted = expit(level)
    assert targets.probabilities == pytest.approx(np.full((2, 4), wanted), abs=1e-30)
    assert targets.tail == pytest.approx(np.full(2, 5 * wanted), abs=1e-30)


def test_an_unknown_mixture_is_refused() -> None:
    with pytest.raises(SoftTargetError, match="mix = 'mean'"):
        mix_teachers([predictions(0, 5, 40, 6)[0]], [1.0], kept=3, mix="mean")


def test_mass_is_kept_when_teachers_store_few_labels() -> None:
    one, dense = predictions(0, 5, 40, 6)
    targets = mix_teachers([one], [1.0], kept=3)
    rows = targets.rows([f"clip{n}" for n in range(5)])
    total = targets.probabilities[rows].sum(1) + targets.tail[rows]
    np.testing.assert_allclose(total, expit(dense.astype(np.float64)).sum(1), rtol=1e-5)


def test_file_round_trip_and_unknown_clip(tmp_path: Path) -> None:
    targets = mix_teachers([predictions(0, 5, 40, 6)[0]], [1.0], kept=3)
    targets.save(tmp_path / "soft")
    again = SoftTargets.load(tmp_path / "soft", 40)
    for name in ("ids", "labels", "probabilities", "tail"):
        assert np.array_equal(getattr(again, name), getattr(targets, name))
    with pytest.raises(SoftTargetError, match="clip other: no soft targets"):
        again.rows(["clip1", "other"])
    with pytest.raises(SoftTargetError, match="out of range of 3"):
        SoftTargets.load(tmp_path / "soft", 3)
    (tmp_path / "soft").write_bytes(b"nothing")
    with pytest.raises(SoftTargetError, match="no readable soft targets"):
        SoftTargets.load(tmp_path / "soft", 40)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("probabilities", np.nan, "probability"),
        ("probabilities", 1.5, "probability"),
        ("probabilities", -0.5, "probability"),
        ("tail", np.nan, "tail"),
        ("tail", -1.0, "tail"),
        ("ids", b"clip9", "ids do not ascend"),
        ("ids", b"clip0", "ids do not ascend"),
    ],
)
def test_values_that_are_not_as_promised_are_refused(
    tmp_path: Path, name: str, value: float | bytes, fault: str
) -> None:
    targets = mix_teachers([predictions(0, 5, 40, 6)[0]], [1.0], kept=3)
    getattr(targets, name)[1] = value
    targets.save(tmp_path / "soft")
    with pytest.raises(SoftTargetError, match=f"/soft: .*{fault}.*; run stage=distill again"):
        SoftTargets.load(tmp_path / "soft", 40)


@pytest.mark.parametrize("hard_weight", [0.0, 0.5, 1.0])
def test_loss_is_equation_2_on_dense_targets(hard_weight: float) -> None:
    torch.manual_seed(0)
    batch = make_batch(clips=6, num_labels=11)
    teacher, _ = predictions(3, 6, 11, 11)
    targets = mix_teachers([teacher], [1.0], kept=4)
    rows = targets.rows(batch.ids)
    dense = np.repeat(targets.tail[rows][:, None] / (11 - 4), 11, axis=1)
    np.put_along_axis(dense, targets.labels[rows].astype(int), targets.probabilities[rows], axis=1)
    model = Fixed(3 * torch.randn(6, 11))
    loss, _ = SoftAndHardLabels(targets, hard_weight)(model, batch)
    hard = F.binary_cross_entropy_with_logits(model.log_odds, dense_labels(batch), reduction="sum")
    soft = F.binary_cross_entropy_with_logits(
        model.log_odds, torch.from_numpy(dense).float(), reduction="sum"
    )
    torch.testing.assert_close(loss, (hard_weight * hard + (1 - hard_weight) * soft) / 6)


def test_unlabeled_clips_have_a_loss_of_soft_targets_alone() -> None:
    torch.manual_seed(0)
    batch = make_batch(clips=6, num_labels=11)
    labeled = batch.labels[batch.labels[:, 0] < 4]
    one, _ = predictions(3, 6, 11, 11)
    # The ids of either kind lie between those of the other.
    rows = [np.array([0, 2, 4, 5]), np.array([1, 3])]
    own, further = (mix_teachers([one.select(r)], [1.0], kept=4) for r in rows)
    batch = replace(batch, ids=[f"clip{n}" for n in (0, 2, 4, 5, 1, 3)], labels=labeled)
    dense = np.empty((6, 11))
    for targets, ids, places in ((own, batch.ids[:4], slice(4)), (further, batch.ids[4:], [4, 5])):
        found = targets.rows(ids)
        goals = np.repeat(targets.tail[found][:, None] / (11 - 4), 11, axis=1)
        np.put_along_axis(
            goals, targets.labels[found].astype(int), targets.probabilities[found], axis=1
        )
        dense[places] = goals
    model = Fixed(3 * torch.randn(6, 11))
    loss, _ = SoftAndHardLabels(own, 0.3, further, weight=0.7)(model, batch)
    loss.backward()
    gradient, model.log_odds.grad = model.log_odds.grad, None
    losses = F.binary_cross_entropy_with_logits
    z, soft = model.log_odds, torch.from_numpy(dense).float()
    wanted = 0.3 * losses(z[:4], dense_labels(batch)[:4], reduction="sum")
    wanted = wanted + 0.7 * losses(z[:4], soft[:4], reduction="sum")
    wanted = (wanted + 0.7 * losses(z[4:], soft[4:], reduction="sum")) / 6
    wanted.backward()
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(gradient, model.log_odds.grad)


def test_merged_records_hold_clip_and_soft_targets(small_frames: Path, tmp_path: Path) -> None:
    split = open_split(small_frames, "train", SplitSpec("train-*"), SMALL_FRAMES, cache=None)
    truth = read_truth(split)
    dense = torch.randn(len(split), SMALL_FRAMES.num_labels)
    writer = PredictionsWriter(SMALL_FRAMES.num_labels, 10)
    writer.append(list(truth.ids), dense)
    targets = mix_teachers([writer.finish()], [1.0], kept=3)
    shards = write_merged(tmp_path, split, targets)
    assert len(shards) == 1
    merged = open_split(tmp_path, "train", SplitSpec("train-*"), SMALL_FRAMES, cache=None)
    assert np.array_equal(read_truth(merged).columns, truth.columns)
    for clip, record in enumerate(read_records(shards[0])):
        context = SequenceExample.FromString(record.tobytes()).context.feature
        best = torch.topk(dense[clip], 3)
        assert list(context["soft_labels"].int64_list.value) == best.indices.tolist()
        np.testing.assert_allclose(
            context["soft_probabilities"].float_list.value, torch.sigmoid(best.values), rtol=1e-5
        )
        others = torch.sigmoid(dense[clip]).sum() - torch.sigmoid(best.values).sum()
        assert context["soft_tail"].float_list.value[0] == pytest.approx(float(others), rel=1e-4)
    assert clip == len(split) - 1
