"""The count of a training's operations, against one by hand."""

from __future__ import annotations

import pytest
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.training_memory import FRAMES
from benchmarks.winners_run import CLIPS, Cluster, counted, placed
from families import build
from tests.conftest import SMALL_FRAMES

LABELS = SMALL_FRAMES.num_labels


def test_a_perceptrons_operations_are_counted() -> None:
    config = {"hidden": [7], "input_norm": "none", "dropout": 0.0}
    with FakeTensorMode():
        forward, whole = counted(build("perceptron", config, SMALL_FRAMES).train(), SMALL_FRAMES)
    inputs, outputs = 2 * 16 * 7 * CLIPS, 2 * 7 * LABELS * CLIPS
    assert forward == inputs + outputs
    # On the way back: for weights and for what they were multiplied with, which of inputs is none.
    assert whole == 2 * inputs + 3 * outputs


def test_a_recurrent_layers_operations_are_counted_by_frame() -> None:
    config = {"variant": "stacked", "layers": 1, "hidden": 5, "head": {"kind": "logistic"}}
    with FakeTensorMode():
        model = build("rnn", config, SMALL_FRAMES).train()
        forward, _ = counted(model, SMALL_FRAMES)
    cell = 2 * 4 * 5 * (16 + 5 + 2) * FRAMES * CLIPS
    assert forward >= cell
    assert forward - cell < cell / 10


def test_hours_are_of_what_takes_longest() -> None:
    machine = Cluster(1, flops=1e6, decoded=10.0, read=1e12)
    assert machine.hours(7200e6, 3600) == 2.0
    assert machine.hours(1.0, 72_000) == 2.0
    assert machine.hours(1.0, 1.0) == pytest.approx(0.1 / 3600)


def test_tasks_are_placed_the_longest_first() -> None:
    assert placed([1.0, 2.0, 3.0], 1) == 6.0
    assert placed([1.0, 2.0, 3.0], 2) == 3.0
    assert placed([1.0, 2.0, 3.0], 99) == 3.0
