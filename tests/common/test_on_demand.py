"""Packages give what they export as soon as it is asked for."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = ("distill", "ensemble", "quantize", "records", "report", "runs")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_export_is_what_its_module_has(name: str) -> None:
    package = import_module(name)
    tree = ast.parse(Path(str(package.__file__)).read_text())
    places = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"{name}.")
        for alias in node.names
    }
    assert set(places) == set(package.__all__)
    for export, module in places.items():
        # Of a module of that name, once it is imported, the package would have the module.
        assert not (Path(str(package.__file__)).parent / f"{export}.py").exists()
        assert getattr(package, export) is getattr(import_module(str(module)), export)


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(ImportError, match="nothing"):
        from records import nothing  # type: ignore[attr-defined]  # noqa: F401
