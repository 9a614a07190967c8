"""A member's module without its weights, held against the tensors that claim to be them."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

import families
from common.problems import one_line, quoted
from families import FamilyError, FamilyModule
from families.base import HostLayer
from families.meta import without_memory
from families.registry import meta_module
from quantize.bundle.manifest import MemberEntry
from quantize.errors import BundleError
from records import Schema

# Room above the tensors that there are: a bundle that lacks a few is told which ones.
_SPARE_TENSORS = 64
# Modules without a tensor (activations, dropouts, containers) per tensor, generously.
_MODULES_PER_TENSOR = 16


def build_skeleton(member: MemberEntry, schema: Schema, tensors: int) -> FamilyModule:
    """The member's module on the meta device: shapes, and no memory.

    Args:
        member: Family and configuration.
        schema: What a record holds.
        tensors: How many tensors there are for it. A configuration that asks for far more is
            stopped there: one that claims a billion layers must not be built to be refused.

    Raises:
        BundleError: The configuration cannot be built, or has far more tensors.
    """
    try:
        with without_memory(), _at_most(tensors + _SPARE_TENSORS):
            return families.build(member.family, dict(member.config), schema)
    except (FamilyError, RuntimeError, TypeError, OverflowError, MemoryError) as error:
        reason = one_line(error)[:200]
        raise BundleError(f"member {member.name}: cannot be built: {reason}") from error


def check_hosts(members: Sequence[MemberEntry], schema: Schema) -> None:
    """Makes sure that members which stand on another's hidden layer can do so.

    Raises:
        BundleError: The other is not there, has no weight or no such layer, or one that is narrower
            or wider.
    """
    by_name = {member.name: member for member in members}
    for member in members:
        place = f"member {member.name}"
        name = families.host_of(member.family, member.config)
        if name is None:
            continue
        if name not in by_name or by_name[name].weight == 0:
            raise BundleError(f"{place}: stands on member {quoted(name)}, which has no part here")
        try:
            config = families.config_from_dict(member.family, member.config)
            host = meta_module(by_name[name].family, by_name[name].config, schema)
            layer = HostLayer(name, host.hidden_size)
        except FamilyError as error:
            raise BundleError(f"{place}: {error}") from error
        if families.get(member.family).module.fitted(config, None, layer) != config:
            raise BundleError(f"{place}: the hidden layer of {name} has {layer.width} values")


@contextmanager
def _at_most(tensors: int) -> Iterator[None]:
    """Stops the building of modules in this thread at more tensors, or far more modules.

    What is registered several times counts once: Keras does so for every layer around a weight.
    """
    thread = threading.get_ident()
    most = {"tensors": tensors, "modules": _MODULES_PER_TENSOR * (tensors + 1)}
    # By identity, which holds as long as the things are kept.
    found: dict[str, dict[int, Any]] = {kind: {} for kind in most}

    def count(kind: str, _module: nn.Module, _name: str, value: Any) -> None:
        if value is not None and threading.get_ident() == thread:
            found[kind][id(value)] = value
            if len(found[kind]) > most[kind]:
                raise FamilyError(f"its configuration wants more than {tensors} tensors")

    hooks = (
        torch_module.register_module_parameter_registration_hook(partial(count, "tensors")),
        torch_module.register_module_buffer_registration_hook(partial(count, "tensors")),
        torch_module.register_module_module_registration_hook(partial(count, "modules")),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
