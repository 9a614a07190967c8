"""What ONNX makes of stored tensors is what torch makes of them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch

from quantize import Codes, dequantize, list_precisions, quantize
from quantize.onnx.weights import WeightGraph

ZERO = np.array(0, dtype=np.float32)
# Sizes that leave bits over and that do not, of one row, of three dimensions, a scalar.
SHAPES = ((37, 5), (3,), (1, 8), (4, 4, 2), ())


def file_of(codes: Codes) -> bytes:
    """A graph that adds its input, one number, to the tensor."""
    number = ir.Value(name="number", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.FLOAT))
    weight = ir.Value(name="unset")
    add = ir.node("Add", [number, weight])
    add.outputs[0].name, add.outputs[0].type = "sum", number.type
    graph = ir.Graph([number], add.outputs, nodes=[add], opset_imports={"": 20}, name="graph")
    weight.replace_all_uses_with(WeightGraph(graph).decoded("weight", codes))
    return ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()


@pytest.mark.parametrize("precision", sorted(set(list_precisions()) - {"float32"}))
def test_the_same_tensor_in_as_many_bytes(precision: str) -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in SHAPES:
        codes = quantize(torch.randn(shape, generator=generator), "weight", precision)
        file = file_of(codes)
        (found,) = onnxruntime.InferenceSession(file).run(None, {"number": ZERO})
        np.testing.assert_allclose(found, dequantize(codes), rtol=2e-6, atol=2e-7)
        assert found.shape == shape
        codebook = 0 if codes.codebook is None else codes.codebook.nbytes
        assert len(file) < codes.codes.nbytes + codebook + 2_500


def test_a_codebook_gives_every_bit() -> None:
    """Also of the last code of a byte, and of one that lies in two bytes."""
    for precision in ("uniform8", "kmeans6", "quantile5", "uniform4", "float16"):
        codes = quantize(torch.linspace(-1, 3, 515), "weight", precision)
        session = onnxruntime.InferenceSession(file_of(codes))
        (found,) = session.run(None, {"number": ZERO})
        np.testing.assert_array_equal(found, dequantize(codes))
