"""The house's rule: a room imports from the floors below it, and from nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The house, floor by floor from the ground. A room may import from every floor below its own, and
# from the rooms of its own floor that are named.
FLOORS: tuple[dict[str, set[str]], ...] = (
    {"common": set()},
    {"records": set(), "metrics": set(), "runs": set()},
    {"families": set()},
    {"training": set()},
    {"ensemble": set(), "distill": set(), "tune": set(), "quantize": {"ensemble"}},
    {"stages": set()},
    {"report": set()},
)
# Rooms that need less than their floor allows.
ONLY = {"metrics": {"common"}, "ensemble": {"common", "metrics", "runs"}}
MAY_IMPORT = {
    room: ONLY.get(room, {name for floor in FLOORS[:number] for name in floor} | beside)
    for number, rooms in enumerate(FLOORS)
    for room, beside in rooms.items()
}
MOST_FILES, MOST_LINES = 25, 350
PROJECT = {*MAY_IMPORT, "orchestrate", "onegig", "benchmarks", "tests"}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module imports, wherever in it.

    `from a import b` counts as `a` where `a.b` is no module: what it needs is `a`. Relative imports
    cannot leave a package that stands at the top, so they are of the room itself.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), alias.name)
                is_module = inner.with_suffix(".py").exists() or inner.is_dir()
                yield node.lineno, f"{node.module}.{alias.name}" if is_module else node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            name = node.args[0]
            # Of a formatted name the beginning, which has the room.
            name = name.values[0] if isinstance(name, ast.JoinedStr) else name
            if isinstance(name, ast.Constant):
                yield node.lineno, str(name.value)


def violations(room: str, path: Path, source: str) -> list[str]:
    """What a module imports against the rule, each with its place."""
    found = []
    for line, name in imported(ast.parse(source)):
        top = name.partition(".")[0]
        if top not in PROJECT or top == room:
            continue
        if not any(name == fine or name.startswith(f"{fine}.") for fine in MAY_IMPORT[room]):
            found.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_room_imports_only_from_below(room: str) -> None:
    paths = modules(room)
    # A rule that looks at nothing is kept by everyone.
    assert len(paths) > 1
    broken = [v for path in paths for v in violations(room, path, path.read_text())]
    assert not broken, f"imports against the floors: {broken}"


def test_every_package_is_a_room() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "benchmarks"} == set(MAY_IMPORT)


def test_no_file_is_too_long() -> None:
    files = [path for room in (*MAY_IMPORT, "tests") for path in modules(room)]
    assert len(files) > 200
    lengths = {path: len(path.read_text().splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}


def test_no_room_is_too_full() -> None:
    for room in MAY_IMPORT:
        for folder in (ROOT / room, *filter(Path.is_dir, (ROOT / room).rglob("*"))):
            files = list(folder.glob("*.py"))
            assert len(files) <= MOST_FILES or any(folder.glob("*/__init__.py")), folder


@pytest.mark.parametrize(
    ("room", "source", "named"),
    [
        ("common", "import runs", "imports runs"),
        ("records", "import families", "imports families"),
        ("metrics", "from records import Split", "imports records"),
        ("runs", "from records import Schema", "imports records"),
        ("families", "def f():\n    from ensemble.scorer import x", ":2 imports ensemble.scorer"),
        ("training", "from stages.workspace import Workspace", "imports stages.workspace"),
        ("ensemble", "import numpy, quantize.budget as b", "imports quantize.budget"),
        ("ensemble", "from records import Split", "imports records"),
        ("distill", "from ensemble import search_weights", "imports ensemble"),
        ("quantize", "import distill", "imports distill"),
        ("stages", "from report import print_table", "imports report"),
        ("report", "import orchestrate", "imports orchestrate"),
        ("report", "from onegig import fit", "imports onegig"),
        ("families", "import importlib\nimportlib.import_module('report')", "imports report"),
    ],
)
def test_a_violation_is_named(room: str, source: str, named: str) -> None:
    (found,) = violations(room, ROOT / room / "made_up.py", source)
    assert found.startswith(f"{room}/made_up.py:") and found.endswith(named)


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("quantize", "from ensemble import search_weights\nfrom common.units import x"),
        ("records", "import json\nfrom common import errors\nfrom . import schema"),
    ],
)
def test_what_is_allowed_passes(room: str, source: str) -> None:
    assert violations(room, ROOT / room / "made_up.py", source) == []
