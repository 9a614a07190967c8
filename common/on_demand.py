"""Packages that import what they export when it is asked for: importing torch takes seconds."""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def exports_of(package: str, file: str) -> Callable[[str], Any]:
    """A package's `__getattr__`: it carries out the imports that the package has for type checkers.

    They stand in the package's `__init__.py` as in any other, once, for everyone who reads it.

    Args:
        package: its `__name__`, at the top of the project.
        file: its `__file__`.

    Example:
        if TYPE_CHECKING:
            from quantize.bundle.inference import Bundle
        else:
            __getattr__ = exports_of(__name__, __file__)
    """
    places = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(ast.parse(Path(file).read_bytes()))
        if isinstance(node, ast.ImportFrom)
        and node.module
        and node.module.startswith(f"{package}.")
        for alias in node.names
    }

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, own = places[name]
        value = getattr(import_module(module), own)
        setattr(sys.modules[package], name, value)
        return value

    return get
