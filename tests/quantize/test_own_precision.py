"""A precision of a user's own file, from a tensor to ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

import families
from common.extensions import load_extension
from common.registry import restored
from quantize import (
    Bundle,
    BundleError,
    BundleMember,
    Codes,
    Precision,
    dequantize,
    get_precision,
    list_precisions,
    quantize,
    quantize_state,
    read_bundle,
    register_precision,
    write_bundle,
)
from quantize.bundle.container import read_container
from quantize.onnx.graph import onnx_bytes
from quantize.precision import precision_source
from quantize.recipes import check_precisions
from records import Batch, Schema
from tests.line import call

FILE = Path(__file__).parents[1] / "extensions" / "symmetric8.py"


@pytest.fixture(autouse=True)
def registry_of_its_own() -> Iterator[None]:
    with restored():
        yield


def member(schema: Schema, precision: str) -> BundleMember:
    torch.manual_seed(0)
    config = {"hidden": [16]}
    state = families.build("perceptron", config, schema).state_dict()
    # Enough equal codes to compress.
    state = {name: x * (x.abs() > 0.1) if x.dim() > 1 else x for name, x in state.items()}
    quantized = quantize_state(state, 50, precision)
    return BundleMember("own", "perceptron", config, 1.0, quantized)


def batch_of(schema: Schema) -> Batch:
    features = {stream.name: torch.randn(4, stream.size) for stream in schema.streams}
    labels = torch.zeros(0, 2, dtype=torch.int64)
    return Batch(list("abcd"), features, None, labels, schema.num_labels, -2.0, 2.0)


def test_it_is_one_of_the_precisions() -> None:
    assert load_extension(FILE) == ("symmetric8",)
    assert list_precisions()[-1] == "symmetric8"
    found = precision_source("symmetric8")
    assert found is not None and found.path == FILE and precision_source("uniform8") is None
    check_precisions(["symmetric8"])
    values = torch.tensor([[-2.54, 0.0, 0.019], [1.27, 0.021, 1.0]])
    restored = dequantize(quantize(values, "w", "symmetric8"))
    expected = [[-2.54, 0.0, 0.02], [1.28, 0.02, 1.0]]
    np.testing.assert_allclose(restored, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("entropy", [False, True])
def test_a_bundle_and_its_onnx_file_score_as_its_weights(
    tmp_path: Path, schema: Schema, entropy: bool
) -> None:
    load_extension(FILE)
    own, path = member(schema, "symmetric8"), tmp_path / "bundle"
    assert {codes.precision for codes in own.state.codes.values()} == {"symmetric8"}
    size = write_bundle(path, schema, [own], {}, entropy=entropy)
    whole = member(schema, "uniform8")
    assert size < write_bundle(tmp_path / "other", schema, [whole], {}, entropy=entropy)
    content = read_bundle(path)
    read, written = content.members[0].state.dequantize(), own.state.dequantize()
    assert read.keys() == written.keys()
    assert all(torch.equal(read[name], written[name]) for name in read)
    model = families.build("perceptron", own.config, schema).eval()
    model.load_state_dict(written)
    batch = batch_of(schema)
    with torch.no_grad():
        expected = model(batch.features, None)
    torch.testing.assert_close(Bundle.load(path).predict(batch), expected, rtol=1e-5, atol=1e-5)
    session = onnxruntime.InferenceSession(onnx_bytes(content))
    inputs = {name: tensor.numpy() for name, tensor in batch.features.items()}
    log_odds, _ = session.run(None, inputs)
    np.testing.assert_allclose(log_odds, expected, rtol=0, atol=1e-5)


def test_without_its_file_a_bundle_says_what_is_missing(tmp_path: Path, schema: Schema) -> None:
    with restored():
        load_extension(FILE)
        write_bundle(tmp_path / "bundle", schema, [member(schema, "symmetric8")], {})
    with pytest.raises(BundleError, match=r"unknown precision 'symmetric8'.*extensions="):
        Bundle.load(tmp_path / "bundle")


class Pairs(Precision):
    """float16 as two bytes a value, without an ONNX form; or something else than it says."""

    bits = 16

    def __init__(self, said: int = 2) -> None:
        self.said = said

    def encode(self, values: Tensor) -> tuple[Tensor, Tensor | None]:
        pairs = values.half().numpy().view(np.uint8).reshape(*values.shape, 2)
        return torch.from_numpy(pairs), None

    def decode(self, quantized: Codes) -> Tensor:
        return torch.from_numpy(quantized.codes.numpy().view(np.float16)[..., 0]).float()

    def stored(self, shape: tuple[int, ...]) -> tuple[torch.dtype, tuple[int, ...]]:
        return torch.uint8, (*shape, self.said)

    def codebook(self, shape: tuple[int, ...]) -> None:
        return None


def test_codes_of_another_shape_come_back_compressed(tmp_path: Path, schema: Schema) -> None:
    register_precision("pairs", Pairs())
    own = member(schema, "pairs")
    write_bundle(tmp_path / "b", schema, [own], {}, entropy=True)
    assert any(name.endswith("/pairs.zst") for name in read_container(tmp_path / "b").tensors)
    (found,) = read_bundle(tmp_path / "b").members
    for name, tensor in own.state.dequantize().items():
        assert torch.equal(found.state.dequantize()[name], tensor)


def test_one_without_an_onnx_form_is_named_and_nothing_is_written(
    tmp_path: Path, schema: Schema
) -> None:
    register_precision("pairs", Pairs())
    write_bundle(tmp_path / "b", schema, [member(schema, "pairs")], {})
    Bundle.load(tmp_path / "b")
    message = call("stage=export", f"bundle={tmp_path}/b", f"outputs={tmp_path}").refusal()
    assert "precision pairs" in message and "family" not in message
    assert not list(tmp_path.rglob("*.onnx"))


def test_codes_that_are_not_as_it_says_are_refused() -> None:
    register_precision("lying", Pairs(said=3))
    with pytest.raises(BundleError, match=r"^w: precision lying .*2, 3, 2.* says .*2, 3, 3"):
        quantize(torch.ones(2, 3), "w", "lying")


@pytest.mark.parametrize("name", ["", "a/b", "a+b", "a=b", "a.zst", "codebook", "x" * 41])
def test_a_name_that_would_mislead_a_reader_is_refused(name: str) -> None:
    with pytest.raises(BundleError, match=r"^precision .*: use up to 40 letters"):
        register_precision(name, Pairs())


def test_a_name_is_taken_once() -> None:
    register_precision("uniform8", get_precision("uniform8"))
    with pytest.raises(BundleError, match="precision 'uniform8' is registered twice"):
        register_precision("uniform8", Pairs())
