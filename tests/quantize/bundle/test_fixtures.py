"""Files that earlier versions wrote load in this one, and score as they did then.

There is one bundle for every version of the format, with the log-odds that it gave when it was
written. They were made once and are never rewritten: what no longer loads them has broken every
bundle that people keep. Each holds a netvlad (4 clusters, hidden 8) and a perceptron (hidden 16)
with random weights, mixed at 0.625 and 0.375, on a schema of 8 and 4 bytes a frame and 6 labels;
tensors of more than 40 elements are codes. In version 2 they are at several precisions, and one of
them, half of it zeros, is compressed; version 3 has the same, with checksums, and version 4 that
with thresholds. `bundle-v2-rnn` holds two LSTMs (hidden 6) from before `rnn` had the field `state`.
`bundle-inputs.json` holds three clips of 5, 3 and no frames.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from quantize import Bundle
from quantize.bundle.container import read_container
from records import Batch

FOLDER = Path(__file__).parent / "fixtures"


def inputs() -> Batch:
    values = json.loads((FOLDER / "bundle-inputs.json").read_text())
    features = {
        name: torch.tensor(values[name], dtype=torch.uint8).reshape(3, 5, size)
        for name, size in (("rgb", 8), ("audio", 4))
    }
    mask = torch.arange(5) < torch.tensor(values["lengths"])[:, None]
    labels = torch.zeros(0, 2, dtype=torch.int64)
    return Batch(["a", "b", "c"], features, mask, labels, 6, -2.0, 2.0)


def test_an_lstm_of_before_it_could_choose_reads_its_cell_state() -> None:
    bundle = Bundle.load(FOLDER / "bundle-v2-rnn.safetensors")
    expected = torch.tensor(json.loads((FOLDER / "bundle-v2-rnn.json").read_text()))
    torch.testing.assert_close(bundle.predict(inputs()), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_bundle_of_every_version_scores_as_it_did(version: int) -> None:
    bundle = Bundle.load(FOLDER / f"bundle-v{version}.safetensors")
    assert bundle.labels == ("zero", "one", "zwei", "drei", "naïve", "日本")
    assert bundle.weights.tolist() == [0.625, 0.375]
    assert bundle.receipt["gap"] == 0.5
    expected = torch.tensor(json.loads((FOLDER / f"bundle-v{version}.json").read_text()))
    torch.testing.assert_close(bundle.predict(inputs()), expected, atol=1e-6, rtol=0)
    thresholds = None if bundle.thresholds is None else bundle.thresholds.tolist()
    assert thresholds == ([0.5, -1.25, math.inf, 0.0, -3.5, 2.75] if version == 4 else None)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_fixture_has_codes_of_every_kind(version: int) -> None:
    container = read_container(FOLDER / f"bundle-v{version}.safetensors")
    assert container.checked == (version >= 3)
    names = {name.rpartition("/")[2] for name in container.tensors}
    assert names >= {"uniform8.zst", "uniform4", "kmeans5", "channel6", "channel8", "float16"}
