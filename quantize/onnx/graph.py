"""A bundle's ONNX graph: what torch traced, with the bundle's weights put in.

This module and `quantize.onnx.weights`, and no other, import the packages of the extra `onnx`.
"""

import io
import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr

import onnx_ir as ir
import torch
from torch import Tensor

import families
from quantize.bundle.content import BundleContent, BundleMember
from quantize.errors import BundleError
from quantize.onnx.model import OUTPUTS, OnnxMix, axis_names, input_names, trace
from quantize.onnx.weights import WeightGraph
from records import Schema
from records.schema import plain_schema

# Runs on onnxruntime from 1.17 on.
_OPSET = 20
# A protobuf message, which an ONNX file is, ends at 2 GiB; the rest is for the nodes.
_LARGEST_WEIGHTS = 2**31 - 2**26


def onnx_bytes(content: BundleContent) -> bytes:
    """The ONNX file of a bundle.

    Inputs, outputs and metadata are those that docs/formats.md lists.

    Raises:
        BundleError: A family cannot be exported, all such families are named; a precision has no
            ONNX form; a stream has a name that is taken; or the file would be larger than ONNX
            files can be.
    """
    members = [member for member in content.members if member.weight > 0]
    input_names(content.schema)
    try:
        model, constants = _convert(content.schema, members, content.mix)
    except Exception as error:
        raise _named(content.schema, members, error) from error
    _set_weights(model.graph, members, constants)
    _simplify_casts(model.graph)
    _leave_no_trace(model)
    model.metadata_props.update(_metadata(content))
    stored = (value.const_value for value in model.graph.initializers.values())
    size = sum(tensor.nbytes for tensor in stored if tensor is not None)
    if size > _LARGEST_WEIGHTS:
        raise BundleError(f"export: {size:,} bytes of weights; an ONNX file ends at 2 GiB")
    return ir.to_proto(model).SerializeToString(deterministic=True)


def _named(schema: Schema, members: Sequence[BundleMember], error: Exception) -> Exception:
    """The error that names the families that fail on their own; without any, `error` itself."""
    by_name = {member.name: member for member in members}
    reasons = {member.family: _reason(schema, member, by_name) for member in members}
    failing = sorted(family for family, reason in reasons.items() if reason)
    if not failing:
        return error
    return BundleError(
        f"export: no ONNX graph can be made of family {', '.join(failing)} ({reasons[failing[0]]})"
    )


def _reason(schema: Schema, member: BundleMember, members: Mapping[str, BundleMember]) -> str:
    """Why a member cannot be exported, with its host, one line; empty if it can."""
    host = families.host_of(member.family, member.config)
    try:
        _convert(schema, [member, *([members[host]] if host else [])], "log_odds")
    except Exception as error:
        cause = error.__cause__ or error
        return f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
    return ""


def _convert(
    schema: Schema, members: Sequence[BundleMember], mode: str
) -> tuple[ir.Model, Mapping[str, Tensor]]:
    """The graph as the exporter makes it, its weights but shapes; and its constants by name."""
    module = OnnxMix(schema, members, mode)
    with _quiet():
        program = torch.onnx.export(
            trace(module),
            input_names=input_names(schema),
            output_names=OUTPUTS,
            dynamic_shapes=axis_names(schema),
            opset_version=_OPSET,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program.model, module.constants


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps torch's remarks on its own work from the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # A trace that fails prints all that was traced.
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _simplify_casts(graph: ir.Graph) -> None:
    """Says to which type a CastLike casts: onnxruntime can then work out constants beforehand."""
    for node in graph:
        if node.op_type == "CastLike":
            like = node.inputs[1]
            assert like is not None and like.dtype is not None
            node.replace_input_with(1, None)
            node.resize_inputs(1)
            node.op_type = "Cast"
            node.attributes.add(ir.AttrInt64("to", like.dtype))


def _leave_no_trace(model: ir.Model) -> None:
    """Drops what the exporter notes on where every node comes from: lines of files, mostly."""
    model.graph.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def _set_weights(
    graph: ir.Graph, members: Sequence[BundleMember], constants: Mapping[str, Tensor]
) -> None:
    """Gives the traced weights their values; names them as the bundle does."""
    weights = WeightGraph(graph)
    for name in [name for name in graph.initializers if name.startswith("members.")]:
        value = graph.initializers.pop(name)
        if not value.uses():
            continue
        _, index, tensor = name.split(".", maxsplit=2)
        member = members[int(index)]
        stored, state = f"{member.name}/{tensor}", member.state
        if tensor in state.codes:
            weight = weights.decoded(stored, state.codes[tensor])
        elif tensor in state.plain:
            weight = weights.stored(stored, state.plain[tensor])
        else:
            weight = weights.stored(stored, constants[name])
        value.replace_all_uses_with(weight)


def _metadata(content: BundleContent) -> Mapping[str, str]:
    """What a reader of the file may want to know, as JSON."""
    found = [] if content.thresholds is None else content.thresholds.tolist()
    # JSON has no infinity.
    thresholds = json.dumps([own if math.isfinite(own) else None for own in found])
    return {
        "schema": json.dumps(plain_schema(content.schema)),
        "labels": json.dumps(content.schema.label_names, ensure_ascii=False),
        "mix": content.mix,
        "members": json.dumps(
            [{"name": m.name, "family": m.family, "weight": m.weight} for m in content.members]
        ),
        "receipt": json.dumps(content.receipt),
        **({"thresholds": thresholds} if found else {}),
    }
