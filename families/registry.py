"""The registry of model families: one decorator, one flat list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from common.registry import Extension, Registry
from families.base import FamilyModule
from families.config import dataclass_from_dict
from families.errors import FamilyError
from records.schema import Schema

Sampling = Literal["draw", "sequence"]
ModuleType = TypeVar("ModuleType", bound=type[FamilyModule])


@dataclass(frozen=True)
class FamilyEntry:
    """What the registry knows of a family.

    Attributes:
        name: the name that configurations use.
        module: the `FamilyModule` subclass, built as `module(config, schema)`.
        config: the frozen dataclass of its hyperparameters.
        sampling: how its training reads frames: "draw" (with replacement, in any order) or
            "sequence" (in order).
    """

    name: str
    module: type[FamilyModule]
    config: type
    sampling: Sampling


_FAMILIES: Registry[FamilyEntry] = Registry("family", FamilyError)


def register(
    name: str, config: type, *, sampling: Sampling = "draw"
) -> Callable[[ModuleType], ModuleType]:
    """Registers the decorated `FamilyModule` under `name`, configured by the dataclass `config`."""

    def add(module: ModuleType) -> ModuleType:
        _FAMILIES.add(name, FamilyEntry(name, module, config, sampling))
        return module

    return add


def list_families() -> list[str]:
    """The names of all families, sorted."""
    return sorted(_FAMILIES.names())


def source(name: str) -> Extension | None:
    """The user's own file that registered the family `name`; None for those of the package."""
    return _FAMILIES.source(name)


def get(name: str) -> FamilyEntry:
    """The entry of the family `name`.

    Raises:
        FamilyError: when there is no such family.
    """
    return _FAMILIES.get(name)


def config_from_dict(name: str, values: Mapping[str, Any]) -> Any:
    """Builds the configuration of the family `name`; absent fields keep their default.

    Raises:
        FamilyError: for an unknown family or field, a wrong type or an impossible value.
    """
    return dataclass_from_dict(get(name).config, values, name)


def config_to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain dictionaries, lists, numbers and strings, as JSON has them."""
    return {name: _plain(value) for name, value in asdict(config).items()}


def build(name: str, config: Any, schema: Schema) -> FamilyModule:
    """Builds a model of the family `name`, on torch's default device ("meta" costs nothing).

    Args:
        name: the family.
        config: its configuration dataclass, or a mapping for `config_from_dict`.
        schema: the streams and the number of labels.

    Raises:
        FamilyError: for a configuration of another family, or a schema that the family cannot take.
    """
    entry = get(name)
    if isinstance(config, Mapping):
        config = config_from_dict(name, config)
    if not isinstance(config, entry.config):
        raise FamilyError(f"{name}: expected a {entry.config.__name__}, not {config!r}")
    return entry.module(config, schema)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value
