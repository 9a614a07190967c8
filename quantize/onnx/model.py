"""The members and their mix as one module that the ONNX exporter can follow."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional

from families import FamilyModule
from families.layers.hosts import all_scores
from quantize.bundle.content import BundleMember
from quantize.bundle.skeleton import build_skeleton
from quantize.errors import BundleError
from quantize.onnx.forms import OnnxForms, replace_recurrent
from records import Schema

MASK = "mask"
OUTPUTS = ("log_odds", "probabilities")
# The inputs' dynamic axes, with sizes to trace with; torch takes 0 and 1 for constants.
_AXES = {"batch": 3, "frames": 5}


class OnnxMix(nn.Module):
    """Members without weights, on the meta device, and the mix of what they put out.

    The mix is that of `ensemble.mix`, its sums taken as logarithms: onnxruntime's sigmoid ends
    at log-odds of 18, where the mix has to tell scores apart still.

    Args:
        schema: What the inputs hold.
        members: Those with a weight.
        mode: "probability" or "log_odds".

    Attributes:
        constants: Buffers that follow from the members' configurations, by name, on the CPU.
    """

    def __init__(self, schema: Schema, members: Sequence[BundleMember], mode: str) -> None:
        super().__init__()
        self.schema = schema
        self.mode = mode
        total = sum(member.weight for member in members)
        self.shares = [member.weight / total for member in members]
        self.by_name: dict[str, FamilyModule] = {}
        self.members = nn.ModuleList()
        for member in members:
            tensors = len(member.state.plain) + len(member.state.codes)
            module = build_skeleton(member, schema, tensors)
            replace_recurrent(module)
            self.members.append(module)
            self.by_name[member.name] = module
        buffers = self.named_buffers()
        self.constants = {name: buffer for name, buffer in buffers if not buffer.is_meta}
        self.requires_grad_(False)
        self.to("meta").eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The streams in the schema's order and, at frame level, the mask; to `OUTPUTS`."""
        names = [stream.name for stream in self.schema.streams]
        features = dict(zip(names, inputs, strict=False))
        mask = inputs[-1] if self.schema.level == "frame" else None
        with OnnxForms():
            scores = torch.stack(all_scores(self.by_name, features, mask))
            log_odds = self._mixed(scores)
            return log_odds, torch.exp(functional.logsigmoid(log_odds))

    def _mixed(self, scores: Tensor) -> Tensor:
        """(M, B, V) to (B, V)."""
        if self.mode == "log_odds":
            parts = [share * score for share, score in zip(self.shares, scores, strict=True)]
            return sum(parts[1:], parts[0])
        least = math.log(torch.finfo(torch.float32).tiny)
        yes, no = (
            self._log_mean(functional.logsigmoid(sign * scores)).clamp(min=least)
            for sign in (1, -1)
        )
        return yes - no

    def _log_mean(self, logs: Tensor) -> Tensor:
        """The logarithm of the weighted mean of what has these logarithms."""
        parts = [log + math.log(share) for share, log in zip(self.shares, logs, strict=True)]
        return torch.logsumexp(torch.stack(parts), dim=0)


def trace(module: OnnxMix) -> ExportedProgram:
    """The module's computation, for any number of clips and frames.

    Raises:
        Exception: Of many kinds, where a family's forward cannot be followed.
    """
    schema = module.schema
    shape = [_AXES[axis] for axis in _axes(schema)]
    with torch.device("meta"):
        inputs = [torch.zeros(*shape, stream.size) for stream in schema.streams]
        if schema.level == "frame":
            inputs.append(torch.ones(*shape, dtype=torch.bool))
    axes = ({axis: Dim.DYNAMIC for axis in range(len(shape))},) * len(inputs)
    return torch.export.export(module, tuple(inputs), dynamic_shapes=(axes,), strict=False)


def input_names(schema: Schema) -> list[str]:
    """The streams in the schema's order and, at frame level, the mask.

    Raises:
        BundleError: A stream has the name of the mask or of an output.
    """
    names = [stream.name for stream in schema.streams]
    for name in names:
        if name in (MASK, *OUTPUTS):
            raise BundleError(f"stream {name}: in an ONNX file the name means something else")
    return [*names, MASK] if schema.level == "frame" else names


def axis_names(schema: Schema) -> tuple[tuple[dict[int, str], ...]]:
    """What the inputs' dynamic axes are called."""
    axes = dict(enumerate(_axes(schema)))
    return (tuple(dict(axes) for _ in input_names(schema)),)


def _axes(schema: Schema) -> list[str]:
    return list(_AXES) if schema.level == "frame" else ["batch"]
