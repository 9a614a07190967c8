from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from benchmarks.faults.children import in_child
from common.files import sha256_file
from runs import Predictions, PredictionsWriter, RunError

SHA256 = "3200835a763d648ccc615d88d6debe9882d8b0e0fe6ab93088618646ec06d2d2"
IDS = ["a", "bcd", "é", "", "-x"]


def make(num_labels: int = 40, k: int = 7) -> tuple[Predictions, np.ndarray]:
    dense = np.random.default_rng(0).normal(-3, 2, size=(5, num_labels)).astype(np.float32)
    writer = PredictionsWriter(num_labels, k)
    writer.append(IDS[:2], torch.from_numpy(dense[:2]))
    writer.append(IDS[2:], torch.from_numpy(dense[2:]))
    return writer.finish(), dense


def assert_same(one: Predictions, other: Predictions) -> None:
    assert one.num_labels == other.num_labels
    for name in ("ids", "labels", "log_odds", "left_out", "tail"):
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype == right.dtype
        assert (left == right).all(), name


def test_the_best_labels_are_stored_and_the_next_is_the_bound() -> None:
    predictions, dense = make()
    order = np.argsort(-dense, axis=1)
    ordered = np.take_along_axis(dense, order, axis=1)
    assert predictions.ids.tolist() == IDS
    assert (predictions.labels == order[:, :7]).all()
    assert (predictions.log_odds == ordered[:, :7]).all()
    assert (predictions.left_out == ordered[:, 7]).all()
    assert predictions.tail == pytest.approx((1 / (1 + np.exp(-ordered[:, 7:]))).sum(axis=1))
    assert not predictions.complete


def test_nothing_is_left_out_where_all_labels_are_stored() -> None:
    predictions, dense = make(k=100)
    assert predictions.complete
    assert np.isneginf(predictions.left_out).all()
    assert predictions.tail == pytest.approx(np.zeros(5))
    assert (predictions.to_dense() == dense).all()


def test_dense_again() -> None:
    predictions, dense = make()
    bound, blank = predictions.to_dense(), predictions.to_dense(-np.inf)
    stored = np.zeros(dense.shape, dtype=bool)
    np.put_along_axis(stored, predictions.labels.astype(int), True, axis=1)
    assert (bound == np.where(stored, dense, predictions.left_out[:, None])).all()
    assert (blank == np.where(stored, dense, -np.inf)).all()
    assert (bound >= dense).all()


@pytest.mark.parametrize(("num_labels", "dtype"), [(1 << 16, np.uint16), (70_000, np.uint32)])
def test_labels_take_two_bytes_where_they_can(num_labels: int, dtype: type) -> None:
    writer = PredictionsWriter(num_labels, 3)
    log_odds = torch.zeros(1, num_labels)
    log_odds[0, -1] = 1
    writer.append(["a"], log_odds)
    labels = writer.finish().labels
    assert labels.dtype == dtype
    assert labels[0, 0] == num_labels - 1


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    predictions, _ = make()
    predictions.save(tmp_path / "one.safetensors")
    predictions.save(tmp_path / "two.safetensors")
    loaded = Predictions.load(tmp_path / "one.safetensors")
    assert_same(loaded, predictions)
    assert loaded.digest == predictions.digest
    assert not loaded.log_odds.flags.owndata, "it is mapped, not copied"
    one, two = ((tmp_path / f"{name}.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_same_content_is_the_same_bytes_as_ever(tmp_path: Path) -> None:
    """Whoever has stored predictions need not make them again."""
    predictions = Predictions(
        np.array(["a", "é"]),
        np.array([[2, 0], [1, 2]], dtype=np.uint16),
        np.array([[1.5, -0.25], [3.0, 0.5]], dtype=np.float32),
        np.array([-1.0, -2.5], dtype=np.float32),
        np.array([0.25, 0.125], dtype=np.float32),
        num_labels=3,
    )
    predictions.save(tmp_path / "p")
    assert sha256_file(tmp_path / "p") == SHA256


def test_the_digest_is_that_of_the_content() -> None:
    predictions, _ = make()
    moved = Predictions(
        predictions.ids,
        predictions.labels,
        predictions.log_odds + np.float32(1e-3),
        predictions.left_out,
        predictions.tail,
        predictions.num_labels,
    )
    assert moved.digest != predictions.digest
    assert predictions.select(np.array([0, 1])).digest != predictions.digest


def test_select() -> None:
    predictions, _ = make()
    assert predictions.select(np.array([3, 0])).ids.tolist() == ["", "a"]
    assert predictions.select(slice(1, 3)).ids.tolist() == ["bcd", "é"]
    assert len(predictions.select(predictions.left_out > -np.inf)) == 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_log_odds_that_are_not_finite_are_refused(bad: float) -> None:
    log_odds = torch.zeros(2, 4)
    log_odds[1, 2] = bad
    with pytest.raises(RunError, match="clip 'b' hold NaN or an infinity"):
        PredictionsWriter(4, 2).append(["a", "b"], log_odds)


@pytest.mark.parametrize(
    ("name", "place", "value", "fault"),
    [
        ("log_odds", (1, 2), np.nan, "log-odds that are NaN or infinite"),
        ("log_odds", (1, 0), np.inf, "log-odds that are NaN or infinite"),
        ("log_odds", (1, 6), -np.inf, "log-odds that are NaN or infinite"),
        ("log_odds", (1, 3), 100.0, "log-odds that rise"),
        ("labels", (1, 3), 40, "a label out of range"),
        ("labels", (1, 3), "the one before", "a label twice"),
        ("left_out", 1, np.nan, "a wrong bound"),
        ("left_out", 1, 100.0, "a wrong bound"),
        ("left_out", 1, -np.inf, "a wrong bound"),
        ("tail", 1, np.nan, "a wrong tail"),
        ("tail", 1, -0.5, "a wrong tail"),
        ("tail", 1, np.inf, "a wrong tail"),
    ],
)
def test_values_that_are_not_as_promised_are_refused(
    tmp_path: Path, name: str, place: tuple[int, ...], value: float | str, fault: str
) -> None:
    predictions, _ = make()
    array = getattr(predictions, name)
    array[place] = array[1, 2] if isinstance(value, str) else value
    predictions.save(tmp_path / "p")
    with pytest.raises(RunError, match=f"/p: predictions: clip 'bcd' has {fault}"):
        Predictions.load(tmp_path / "p")


def test_arrays_of_other_types_are_refused(tmp_path: Path) -> None:
    predictions, _ = make()
    for name, wrong in (("labels", np.uint32), ("tail", np.uint8), ("log_odds", np.uint16)):
        changed = {name: getattr(predictions, name).astype(wrong)}
        dataclasses.replace(predictions, **changed).save(tmp_path / "p")
        with pytest.raises(RunError, match=f"/p: predictions: {name} must be "):
            Predictions.load(tmp_path / "p")


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RunError, match=r"\(2, 5\) for 2 clips and 4 labels"):
        PredictionsWriter(4, 2).append(["a", "b"], torch.zeros(2, 5))
    with pytest.raises(RunError, match="no clip was added"):
        PredictionsWriter(4, 2).finish()
    with pytest.raises(RunError, match="cannot store 0 of 4"):
        PredictionsWriter(4, 0)


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 0.5, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "p.safetensors"
    make()[0].save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if keep == 0.5 else int(keep)])
    with pytest.raises(RunError, match=r"p\.safetensors: .*cut short"):
        Predictions.load(path)


def test_a_header_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}" * 8)
    with pytest.raises(RunError, match="claims a header of"):
        Predictions.load(path)
    with pytest.raises(RunError, match="cannot be read"):
        Predictions.load(tmp_path / "missing")


def test_another_file_of_tensors_is_refused(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3, dtype=np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(RunError, match="not a file of predictions"):
        Predictions.load(tmp_path / "other.safetensors")


def test_memory_is_that_of_what_is_stored() -> None:
    """Not of what the batches took that it was stored from."""
    ids, log_odds = [f"clip{n:09d}" for n in range(256)], torch.zeros(256, 3862)

    def written() -> int:
        writer = PredictionsWriter(3862, 20)
        for _ in range(100):
            writer.append(ids, log_odds + 1)
        return len(writer.finish())

    ended = in_child(written)
    assert (ended.kind, ended.value) == ("returned", 25_600)
    # 130 bytes a clip and an id; with a part for each batch it was 300 MB.
    assert ended.peak < 60e6
