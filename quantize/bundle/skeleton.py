"""A member's module without its weights, held against the tensors that claim to be them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn.modules import module as torch_module

import families
from families import FamilyError, FamilyModule
from families.meta import without_memory
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
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"member {member.name}: cannot be built: {reason}") from error


@contextmanager
def _at_most(tensors: int) -> Iterator[None]:
    """Stops the building of modules in this thread at more tensors, or far more modules.

    What is registered several times counts once: Keras does so for every layer around a weight.
    """
    thread = threading.get_ident()
    most = {"tensors": tensors, "modules": _MODULES_PER_TENSOR * (tensors + 1)}
    # By identity, which holds as long as the things are kept.
    found: dict[str, dict[int, Any]] = {kind: {} for kind in most}

    def count(kind: str, value: Any) -> None:
        if value is not None and threading.get_ident() == thread:
            found[kind][id(value)] = value
            if len(found[kind]) > most[kind]:
                raise FamilyError(f"its configuration wants more than {tensors} tensors")

    hooks = (
        torch_module.register_module_parameter_registration_hook(
            lambda _module, _name, value: count("tensors", value)
        ),
        torch_module.register_module_buffer_registration_hook(
            lambda _module, _name, value: count("tensors", value)
        ),
        torch_module.register_module_module_registration_hook(
            lambda _module, _name, value: count("modules", value)
        ),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
