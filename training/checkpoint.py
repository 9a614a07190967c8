"""Checkpoints of a training: one safetensors file with all that the next step depends on."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from common.files import atomic_path
from families.base import FamilyModule
from training.averaging import WeightAverage

CHECKPOINT_NAME = "checkpoint.safetensors"
# What of the state is no tensor.
_PROGRESS = {"step": int, "evaluated": int, "evaluation_seconds": float}


class DamagedCheckpoint(Exception):
    """The file is not what was written."""


@dataclass
class TrainingState:
    """What changes while a model trains.

    Attributes:
        model: the model.
        optimizer: its optimizer.
        step: steps taken.
        evaluated: the step after which the weights were scored last.
        evaluation_seconds: how long all scoring took.
        average: the shadow of the second phase, once that has begun.
        main: the weights at the end of the first phase, once that has ended.
    """

    model: FamilyModule
    optimizer: torch.optim.Optimizer
    step: int = 0
    evaluated: int = 0
    evaluation_seconds: float = 0.0
    average: WeightAverage | None = None
    main: dict[str, Tensor] | None = None


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Writes the state atomically, generator states included, with a checksum of it all."""
    groups = {
        "model": state.model.state_dict(),
        "optimizer": _optimizer_tensors(state.optimizer),
        "average": {} if state.average is None else state.average.state_dict(),
        "main": state.main or {},
        "generator": {"cpu": torch.get_rng_state()},
    }
    if torch.cuda.is_available():
        groups["generator"]["cuda"] = torch.cuda.get_rng_state()
    # A tied or sliced tensor would be refused; copies also keep the file free of strides.
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for group, members in groups.items()
        for name, tensor in members.items()
    }
    progress = json.dumps({name: getattr(state, name) for name in _PROGRESS})
    metadata = {"progress": progress, "sha256": _checksum(progress, tensors)}
    with atomic_path(path) as beside:
        save_file(tensors, beside, metadata=metadata)


def load_checkpoint(path: Path, state: TrainingState, decay: float) -> bool:
    """Takes a training up where a checkpoint left it.

    Args:
        path: the checkpoint; it may be missing.
        state: a fresh state of the same model and optimizer; filled in place.
        decay: of the shadow, should the checkpoint hold one.

    Returns:
        Whether there was one.

    Raises:
        DamagedCheckpoint: there is one, and it is not as it was written; the state is as it was.
        OSError: it cannot be read.
    """
    if not path.exists():
        return False
    progress, tensors = _read(path)
    groups: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        groups[group][name] = tensor
    for name, value in progress.items():
        setattr(state, name, value)
    state.model.load_state_dict(groups["model"])
    _load_optimizer(state.optimizer, groups["optimizer"])
    if groups["average"]:
        state.average = WeightAverage(state.model, decay)
        state.average.load_state_dict(groups["average"])
    if groups["main"]:
        device = next(state.model.parameters()).device
        state.main = {k: v.to(device) for k, v in groups["main"].items()}
    torch.set_rng_state(groups["generator"]["cpu"])
    if torch.cuda.is_available() and "cuda" in groups["generator"]:
        torch.cuda.set_rng_state(groups["generator"]["cuda"])
    return True


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            sound = metadata["sha256"] == _checksum(metadata["progress"], tensors)
            values = json.loads(metadata["progress"])
            progress = {name: kind(values[name]) for name, kind in _PROGRESS.items()}
    except OSError:
        raise
    # Whatever the libraries make of a file that is no file of theirs any more.
    except Exception as error:
        raise DamagedCheckpoint(path) from error
    if not sound:
        raise DamagedCheckpoint(path)
    return progress, tensors


def _checksum(progress: str, tensors: Mapping[str, Tensor]) -> str:
    """Of all that a training takes from a checkpoint, and not of how the file lays it out."""
    digest = hashlib.sha256(progress.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
