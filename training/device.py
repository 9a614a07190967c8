"""Where a model computes, and in which precision."""

import contextlib
import resource
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from common.errors import ConfigError
from training.config import Precision


def choose_device(name: str) -> torch.device:
    """CUDA if there is one, else the CPU, unless `name` says which.

    Raises:
        ConfigError: CUDA is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch sees no CUDA device; use auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def device_of(model: nn.Module) -> torch.device:
    """Where a model lies; one that remembers has no parameters."""
    return next(chain(model.parameters(), model.buffers())).device


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The context of a forward pass in a precision, as `chosen_precision` takes it.

    Args:
        device: where the model is.
        precision: of matrix products.
    """
    if chosen_precision(device, precision) == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def chosen_precision(device: torch.device, precision: Precision) -> Literal["float32", "bfloat16"]:
    """What "auto" comes to: bfloat16 on CUDA and on processors with bfloat16 instructions.

    The choice depends on the machine only, never on a measurement, so that a resumed training
    computes as before.
    """
    if precision == "auto":
        return "bfloat16" if _gains_by_bfloat16(device) else "float32"
    return precision


def random_states(device: torch.device) -> list[Tensor]:
    """Those of the generators that a model on this device draws from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device.type == "cuda" else [])]


def set_random_states(states: Sequence[Tensor]) -> None:
    """Draws go on from states that `random_states` gave."""
    torch.set_rng_state(states[0])
    for state in states[1:]:
        torch.cuda.set_rng_state(state)


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has held so far: of tensors on CUDA, else altogether."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _gains_by_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
