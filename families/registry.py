"""The registry of model families: one decorator, one flat list."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

from common.codec import check, from_plain, to_plain
from common.registry import Registry
from families.base import FamilyModule
from families.errors import FamilyError
from families.layers.memory import RememberingModule
from families.meta import without_memory
from records.schema import Schema

Sampling = Literal["draw", "sequence"]
ModuleType = TypeVar("ModuleType", bound=type[FamilyModule])


@dataclass(frozen=True)
class FamilyEntry:
    """What the registry knows of a family.

    Attributes:
        module: the `FamilyModule` subclass, built as `module(config, schema)`.
        config: the frozen dataclass of its hyperparameters.
        sampling: how its training reads frames: "draw" (with replacement, in any order) or
            "sequence" (in order).
    """

    module: type[FamilyModule]
    config: type
    sampling: Sampling


FAMILIES: Registry[FamilyEntry] = Registry("family", FamilyError)
get = FAMILIES.get


def register(
    name: str, config: type, *, sampling: Sampling = "draw"
) -> Callable[[ModuleType], ModuleType]:
    """Registers the decorated `FamilyModule` under `name`, configured by the dataclass `config`."""

    def add(module: ModuleType) -> ModuleType:
        FAMILIES.add(name, FamilyEntry(module, config, sampling))
        return module

    return add


def list_families() -> list[str]:
    """The names of all families, sorted."""
    return sorted(FAMILIES.names())


def config_from_dict(name: str, values: Mapping[str, Any]) -> Any:
    """Builds the configuration of the family `name`; absent fields keep their default.

    Raises:
        FamilyError: for an unknown family or field, a wrong type or an impossible value.
    """
    return from_plain(get(name).config, values, name, FamilyError)


def host_of(name: str, config: Mapping[str, Any]) -> str | None:
    """The member on whose last hidden layer one of this configuration stands, if there is one.

    Raises:
        FamilyError: as in `config_from_dict`.
    """
    return get(name).module.host_of(config_from_dict(name, config))


def remembers(name: str) -> bool:
    """Whether a family learns by remembering clips, and not by gradients."""
    return issubclass(get(name).module, RememberingModule)


def with_older_fields(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a bundle's member, with what it is too old to say.

    A bundle has every field of a configuration. One that is absent was added later, with a default
    that may not be what was done before: the class variable `BEFORE` of the family's configuration
    says what was.
    """
    before = getattr(get(name).config, "BEFORE", {}) if name in FAMILIES.names() else {}
    return {**before, **values}


def config_to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain dictionaries, lists, numbers and strings, as JSON has them."""
    return to_plain(config)


def build(name: str, config: Any, schema: Schema) -> FamilyModule:
    """Builds a model of the family `name`, on torch's default device ("meta" costs nothing).

    Args:
        name: the family.
        config: its configuration dataclass, or a mapping for `config_from_dict`.
        schema: the streams and the number of labels.

    Raises:
        FamilyError: for a configuration of another family or out of its bounds, or a schema that
            the family cannot take.
    """
    entry = get(name)
    if isinstance(config, Mapping):
        config = config_from_dict(name, config)
    elif isinstance(config, entry.config):
        check(config, name, FamilyError)
    else:
        raise FamilyError(f"{name}: expected a {entry.config.__name__}, not {config!r}")
    return entry.module(config, schema)


def meta_module(name: str, config: Any, schema: Schema) -> FamilyModule:
    """A model's shapes without its memory: its module on the meta device, built once.

    All callers are given the same module and leave it as it is. Arguments and errors are those of
    `build`.
    """
    # As text, since the fields of a user's own configuration need not be hashable.
    return _meta_module(name, get(name), json.dumps(to_plain(config)), schema)


@lru_cache(maxsize=256)
def _meta_module(name: str, entry: FamilyEntry, config: str, schema: Schema) -> FamilyModule:
    with without_memory():
        return build(name, json.loads(config), schema)
