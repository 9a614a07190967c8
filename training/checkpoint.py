"""Checkpoints of a training: one safetensors file with all that the next step depends on."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from common.codec import from_plain, to_plain
from common.files import atomic_path
from families.base import FamilyModule
from training.averaging import WeightAverage
from training.course import Leg

CHECKPOINT_NAME = "checkpoint.safetensors"


class DamagedCheckpoint(Exception):
    """The file is not what was written."""


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: steps taken.
        seconds: how long they took, in all processes, with the scoring on the way.
        evaluated: the step after which the weights were scored last.
        evaluation_seconds: how long all scoring took.
        best_step: the step after which they scored best in the first phase, if that is heeded.
        best_gap: that score.
        ended: as in `Course`, and so is `legs`.
    """

    step: int = 0
    seconds: float = 0.0
    evaluated: int = 0
    evaluation_seconds: float = 0.0
    best_step: int = 0
    best_gap: float | None = None
    ended: int | None = None
    legs: tuple[Leg, ...] = ()


@dataclass
class TrainingState:
    """What changes while a model trains.

    Attributes:
        model: the model.
        optimizer: its optimizer.
        progress: how far it is.
        average: the shadow of the second phase, once that has begun.
        main: the weights that the first phase came to, once it has ended.
        best: those that scored best in the first phase, if that is heeded, until it has ended.
    """

    model: FamilyModule
    optimizer: torch.optim.Optimizer
    progress: Progress = field(default_factory=Progress)
    average: WeightAverage | None = None
    main: dict[str, Tensor] | None = None
    best: dict[str, Tensor] | None = None


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Writes the state atomically, generator states included, with a checksum of it all."""
    groups = {
        "model": state.model.state_dict(),
        "optimizer": _optimizer_tensors(state.optimizer),
        "average": {} if state.average is None else state.average.state_dict(),
        "main": state.main or {},
        "best": state.best or {},
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
    progress = json.dumps(to_plain(state.progress))
    metadata = {"progress": progress, "sha256": _checksum(progress, tensors)}
    with atomic_path(path) as beside:
        save_file(tensors, beside, metadata=metadata)


def load_checkpoint(
    path: Path,
    state: TrainingState,
    decay: float,
    is_wanted: Callable[[Progress], bool] = lambda progress: True,
) -> bool:
    """Takes a training up where a checkpoint left it.

    Args:
        path: the checkpoint; it may be missing.
        state: a fresh state of the same model and optimizer; filled in place.
        decay: of the shadow, should the checkpoint hold one.
        is_wanted: whether to go on from there.

    Returns:
        Whether there was one that is wanted.

    Raises:
        DamagedCheckpoint: there is one, and it is not as it was written; the state is as it was.
        OSError: it cannot be read.
    """
    if not path.exists():
        return False
    progress, tensors = _read(path)
    if not is_wanted(progress):
        return False
    groups: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        groups[group][name] = tensor
    state.progress = progress
    state.model.load_state_dict(groups["model"])
    _load_optimizer(state.optimizer, groups["optimizer"])
    if groups["average"]:
        state.average = WeightAverage(state.model, decay)
        state.average.load_state_dict(groups["average"])
    device = next(state.model.parameters()).device
    if groups["main"]:
        state.main = {k: v.to(device) for k, v in groups["main"].items()}
    if groups["best"]:
        state.best = {k: v.to(device) for k, v in groups["best"].items()}
    torch.set_rng_state(groups["generator"]["cpu"])
    if torch.cuda.is_available() and "cuda" in groups["generator"]:
        torch.cuda.set_rng_state(groups["generator"]["cuda"])
    return True


def _read(path: Path) -> tuple[Progress, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            sound = metadata["sha256"] == _checksum(metadata["progress"], tensors)
            progress = from_plain(Progress, json.loads(metadata["progress"]), "progress")
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
