"""Parts of torch that have no exact ONNX counterpart, in forms that have one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.onnx.ops
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from families import FamilyError
from families.layers.fo_pooling import fo_pooling

# torch stacks an LSTM's gates as input, forget, cell, output, ONNX as input, output, forget, cell;
# a GRU's as reset, update, new and as update, reset, new.
_GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


class OnnxForms(TorchFunctionMode):
    """Within it, the calls of `_FORMS` are traced in forms that ONNX can express, exactly.

    A packed sequence keeps its padding: its data are (T, B, D) and its "batch sizes" the clips'
    lengths, which is how ONNX's recurrent operators take them (`OnnxRecurrent`).
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The call itself, or what stands for it."""
        return _FORMS.get(func, func)(*args, **(kwargs or {}))


class OnnxRecurrent(nn.Module):
    """A `nn.LSTM` or `nn.GRU` as ONNX operators, one a layer, with the same parameters by name.

    Args:
        net: The layers, on any device.

    Raises:
        FamilyError: They have projections or no biases, which no family uses.
    """

    def __init__(self, net: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        if net.proj_size or not net.bias:
            raise FamilyError("recurrent layers with projections or without biases")
        self.operator = "LSTM" if isinstance(net, nn.LSTM) else "GRU"
        self.hidden_size = net.hidden_size
        self.num_layers = net.num_layers
        self.batch_first = net.batch_first
        self.suffixes = ("", "_reverse") if net.bidirectional else ("",)
        for name, parameter in net.named_parameters():
            self.register_parameter(name, parameter)

    def forward(self, x: Tensor | PackedSequence) -> tuple[Any, Any]:
        """Outputs and last states, as `nn.LSTM` and `nn.GRU` return them; initial states are 0."""
        if isinstance(x, PackedSequence):
            outputs, states = self._layers(x.data, x.batch_sizes)
            if x.unsorted_indices is not None:
                states = [state.index_select(1, x.unsorted_indices) for state in states]
            return x._replace(data=outputs), self._last(states)
        outputs, states = self._layers(x.transpose(0, 1) if self.batch_first else x, None)
        return outputs.transpose(0, 1) if self.batch_first else outputs, self._last(states)

    def _last(self, states: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
        return tuple(states) if self.operator == "LSTM" else states[0]

    def _layers(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """(T, B, D) to the last layer's outputs (T, B, H) and every layer's last states."""
        states = []
        for layer in range(self.num_layers):
            x, *last = self._layer(x, lengths, layer)
            states.append(last)
        return x, [torch.cat(layers, dim=0) for layers in zip(*states, strict=True)]

    def _layer(self, x: Tensor, lengths: Tensor | None, layer: int) -> list[Tensor]:
        """One operator: outputs (T, B, H), last state (directions, B, H) and cell state (LSTM)."""
        directions = len(self.suffixes)
        attributes: dict[str, Any] = {"hidden_size": self.hidden_size}
        attributes["direction"] = "bidirectional" if directions == 2 else "forward"
        if self.operator == "GRU":
            attributes["linear_before_reset"] = 1
        time, clips = x.shape[:2]
        state = [directions, clips, self.hidden_size]
        shapes = [[time, directions, clips, self.hidden_size], state]
        shapes += [state] if self.operator == "LSTM" else []
        outputs, *last = torch.onnx.ops.symbolic_multi_out(
            self.operator,
            [
                x,
                self._gates("weight_ih", layer),
                self._gates("weight_hh", layer),
                torch.cat([self._gates("bias_ih", layer), self._gates("bias_hh", layer)], dim=1),
                None if lengths is None else lengths.to(torch.int32),
            ],
            attributes,
            dtypes=[x.dtype] * len(shapes),
            shapes=shapes,
        )
        # The operator forgets on which device it is traced.
        outputs, *last = (tensor.to(x.device) for tensor in (outputs, *last))
        return [outputs.transpose(1, 2).flatten(2), *last]

    def _gates(self, kind: str, layer: int) -> Tensor:
        """Both directions' parameter, its gates in ONNX's order: (directions, gates * H, ...)."""
        order = _GATE_ORDER[self.operator]
        stacked = []
        for suffix in self.suffixes:
            gates = getattr(self, f"{kind}_l{layer}{suffix}").chunk(len(order))
            stacked.append(torch.cat([gates[gate] for gate in order]))
        return torch.stack(stacked)


def replace_recurrent(module: nn.Module) -> None:
    """Puts an `OnnxRecurrent` in the place of every `nn.LSTM` and `nn.GRU` within a module."""
    for name, child in module.named_children():
        if isinstance(child, nn.LSTM | nn.GRU):
            setattr(module, name, OnnxRecurrent(child))
        else:
            replace_recurrent(child)


def _padded(x: Tensor, lengths: Tensor, batch_first: bool, *_: Any) -> tuple[Tensor, Tensor]:
    return x.transpose(0, 1) if batch_first else x, lengths


def _fo_pooling(scores: Tensor, mask: Tensor | None, hidden: int) -> Tensor:
    # A loop over a number of frames that is not known yet.
    candidates, forget, *output = scores.split(hidden, dim=-1)
    z, f = torch.tanh(candidates), torch.sigmoid(forget)
    if mask is not None:
        f = torch.where(mask[..., None], f, 1.0)

    def step(state: Tensor, frame: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        state = frame[0] * state + frame[1]
        return state, state.clone()

    _, c = scan(step, torch.zeros_like(f[0]), (f, (1 - f) * z))
    return torch.sigmoid(output[0]) * c if output else c


def _logsigmoid(x: Tensor) -> Tensor:
    # The exporter writes log(sigmoid(x)), which is -inf from -18 down.
    return x.clamp(max=0) - _log_of_one_and(-x.abs())


def _logaddexp(a: Tensor, b: Tensor) -> Tensor:
    # The exporter writes log(e^a + e^b), which overflows from 88 up.
    return torch.maximum(a, b) + _log_of_one_and(-(a - b).abs())


def _log_of_one_and(logs: Tensor) -> Tensor:
    return torch.log1p(torch.exp(logs))


_FORMS: Mapping[Any, Callable[..., Any]] = {
    torch._VF._pack_padded_sequence: _padded,
    torch._VF._pad_packed_sequence: _padded,
    fo_pooling: _fo_pooling,
    torch.logaddexp: _logaddexp,
    functional.logsigmoid: _logsigmoid,
}
