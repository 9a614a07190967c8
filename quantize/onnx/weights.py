"""Stored tensors as part of an ONNX graph: codes as they are in the bundle, and what decodes them.

All of it depends on nothing but constants, so that onnxruntime works it out once, when it loads the
file (tensors of more than 2**28 values if it is told to): it then runs on float32 weights.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from torch import Tensor

from quantize.precision import Codes, get_precision


class WeightGraph:
    """Adds weights to a graph; what a precision writes its ONNX form with.

    Args:
        graph: Whose nodes use them; not empty.

    Example:
        steps = graph.stored(f"{name}/codes", codes.codes)
        return graph.node("Mul", graph.cast(steps, np.float32), np.float32(0.01))
    """

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._first = graph[0]

    def stored(self, name: str, tensor: Tensor) -> ir.Value:
        """A tensor that the file holds under this name, as it is."""
        stored = ir.tensor(tensor.numpy(), name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(tensor.shape),
            type=ir.TensorType(stored.dtype),
            const_value=stored,
        )
        self._graph.register_initializer(value)
        return value

    def node(
        self, operator: str, *inputs: ir.Value | np.ndarray | np.generic, **attributes: Any
    ) -> ir.Value:
        """What an ONNX operator puts out, the first if it is several.

        Args:
            operator: Its name, of operator set 20.
            inputs: Values, or numbers of numpy's as constants.
            attributes: The operator's own.
        """
        values = [
            x if isinstance(x, ir.Value) else self.node("Constant", value=ir.tensor(np.asarray(x)))
            for x in inputs
        ]
        node = ir.node(operator, values, attributes)
        self._graph.insert_before(self._first, node)
        return node.outputs[0]

    def cast(self, value: ir.Value, dtype: npt.DTypeLike) -> ir.Value:
        """A value as another type."""
        return self.node("Cast", value, to=ir.DataType.from_numpy(np.dtype(dtype)))

    def decoded(self, name: str, codes: Codes) -> ir.Value:
        """The float32 tensor that codes stand for.

        Raises:
            BundleError: Their precision has no ONNX form.
        """
        weight = get_precision(codes.precision).onnx(self, name, codes)
        weight.name = name
        weight.shape, weight.type = ir.Shape(codes.shape), ir.TensorType(ir.DataType.FLOAT)
        return weight
