"""The count of what a training step keeps, against one by hand."""

from __future__ import annotations

from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.training_memory import FRAMES, fitting, saved_bytes
from families import build
from tests.conftest import SMALL_FRAMES


def test_what_a_perceptron_keeps_is_counted() -> None:
    config = {"hidden": [7], "input_norm": "none", "dropout": 0.0}
    width, labels = 12 + 4, SMALL_FRAMES.num_labels
    with FakeTensorMode():
        model = build("perceptron", config, SMALL_FRAMES).train()
        few, more = (saved_bytes(model, SMALL_FRAMES, clips) for clips in (3, 4))
    # A clip has its frames and log-odds; in half as many bytes what products are made of, the
    # joined means and the hidden units; and three labels, each with its cell and its target.
    assert more - few == 4 * (FRAMES * width + labels) + 2 * (width + 7) + 3 * (8 + 4)


def test_clips_that_fit() -> None:
    assert fitting(16, 4.4e9, 1e8) == 100
    assert fitting(16, 15e9, 1e8) == 0
