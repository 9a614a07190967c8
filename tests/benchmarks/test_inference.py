from __future__ import annotations

import pytest

from benchmarks import bundle_inference, onnx_inference


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"dbof": {"clusters": 8, "hidden": 4}, "rnn": {"hidden": 4}}
    monkeypatch.setattr(bundle_inference, "CONFIGS", small)


def test_onnxruntime_finds_the_same_scores() -> None:
    figures = onnx_inference.measure(clips=2, frames=4, repeats=1)
    assert figures["difference"] < 1e-5
    assert figures["seconds"].keys() == {"bundle", "onnxruntime"}
    assert figures["bundle_bytes"] < figures["onnx_bytes"] < figures["bundle_bytes"] + 100_000


def test_quantized_members_score_nearly_as_the_float_ones() -> None:
    figures = bundle_inference.measure(clips=2, frames=4, repeats=1)
    assert 0 < figures["difference"] < 0.1
    assert figures["seconds"].keys() == {
        "bundle",
        "float32 members",
        "dequantized at each step",
    }
    assert figures["ratio"].keys() == figures["seconds"].keys() - {"bundle"}
    assert figures["bundle_bytes"] < figures["float_bytes"]
