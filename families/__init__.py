"""Model families: from frames or means to log-odds, each by its name in one registry.

Every file in this folder that registers a family adds it; the families' own classes are in their
files.
"""

import importlib
import pkgutil

from families.base import FamilyModule
from families.errors import FamilyError
from families.layers.batch_norm import MaskedBatchNorm
from families.layers.heads import Head, HeadConfig
from families.registry import (
    build,
    config_from_dict,
    config_to_dict,
    get,
    host_of,
    list_families,
    register,
    remembers,
    with_older_fields,
)

__all__ = [
    "FamilyError",
    "FamilyModule",
    "Head",
    "HeadConfig",
    "MaskedBatchNorm",
    "build",
    "config_from_dict",
    "config_to_dict",
    "get",
    "host_of",
    "list_families",
    "register",
    "remembers",
    "with_older_fields",
]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"families.{_file.name}")
