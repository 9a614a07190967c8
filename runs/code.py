"""The code that makes a task: digests of the project's files that its modules import.

The rooms that say what is made and have it executed are not followed: no byte of a result depends
on them. What counts of a file is its syntax tree: a comment changes nothing.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.codec import from_plain, to_plain
from common.errors import UserError
from runs.checksums import read_checked_json, write_checked_json
from runs.store import Task

CODE_NAME = "code.json"
_NOT_FOLLOWED = {"runs", "stages", "report"}
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class SourceDigest:
    """Of a file: `meaning` of its syntax tree without docstrings, `content` of its bytes."""

    meaning: str
    content: str


Code = dict[str, SourceDigest]


@dataclass(frozen=True)
class _Record:
    """What lies beside a task: its key, and each code that worked on it, by file."""

    key: str
    versions: tuple[Code, ...]


class Project:
    """The Python files of all packages of a folder, as they are now.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._files: dict[str, bytes] = {}
        self._contents: dict[str, str] = {}
        self._known: dict[str, tuple[str, list[str]]] = {}
        for package in root.glob("*/__init__.py"):
            for path in package.parent.rglob("*.py"):
                self._add(path.relative_to(root).as_posix(), path)

    def code_of(self, modules: Sequence[str]) -> Code:
        """The files of modules, and of all that these import, wherever in them.

        Args:
            modules: Dotted names; one that is not of the project has been imported by this process.
        """
        found: set[str] = set()
        waiting = self._roots(modules)
        while waiting:
            file = waiting.pop()
            if file not in found:
                found.add(file)
                waiting += self._parsed(file)[1]
        return {
            file: SourceDigest(self._parsed(file)[0], self._contents[file])
            for file in sorted(found)
        }

    def changed(self, recorded: Code, modules: Sequence[str]) -> set[str]:
        """The files in which the code of modules differs from what was recorded of it."""
        self._roots(modules)
        if all(self._contents.get(file) == digest.content for file, digest in recorded.items()):
            # The same files import the same ones: nothing has to be parsed.
            return set()
        now = self.code_of(modules)
        return {
            file
            for file in recorded.keys() | now.keys()
            if file not in recorded
            or file not in now
            or recorded[file].meaning != now[file].meaning
        }

    def _add(self, name: str, path: Path) -> None:
        self._files[name] = path.read_bytes()
        self._contents[name] = _short(self._files[name])

    def _roots(self, modules: Sequence[str]) -> list[str]:
        files = []
        for module in modules:
            found = self._files_of(module)
            if not found:
                path = Path(str(sys.modules[module].__file__))
                found = [path.name]
                # In a notebook it may have been edited since the last call.
                self._add(path.name, path)
                self._known.pop(path.name, None)
            files += found
        return files

    def _files_of(self, module: str) -> list[str]:
        """Those that an import of it executes."""
        parts = module.split(".")
        places = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        names = [f"{place}{end}" for place in places for end in ("/__init__.py", ".py")]
        return [name for name in names if name in self._files]

    def _parsed(self, file: str) -> tuple[str, list[str]]:
        """The digest of what a file means, and the files that it imports."""
        if file not in self._known:
            try:
                tree = ast.parse(self._files[file])
            except (SyntaxError, ValueError):
                # It is being edited; what needs it will fail by itself.
                return self._contents[file], []
            imported = {name for name in _imported(tree) if _is_followed(name)}
            paths = [path for name in imported for path in self._files_of(name)]
            self._known[file] = _short(repr(_shape(tree)).encode()), paths
        return self._known[file]


@functools.cache
def this_project() -> Project:
    """The project's own files as they are at the first call, which belongs early in a process."""
    return Project(Path(__file__).resolve().parent.parent)


def record_code(task: Task, modules: Sequence[str]) -> None:
    """Notes in a task's folder which code begins to work on it, or goes on with it."""
    project, versions = this_project(), _versions(task)
    if all(project.changed(version, modules) for version in versions):
        record = _Record(task.key, (*versions, project.code_of(modules)))
        write_checked_json(task.folder / CODE_NAME, to_plain(record))


def changed_code(task: Task, modules: Sequence[str]) -> set[str]:
    """The files in which any code that worked on a task differs from that of now.

    Where nothing was noted, as nothing was by the first versions, there are none.
    """
    project = this_project()
    return {file for version in _versions(task) for file in project.changed(version, modules)}


def _versions(task: Task) -> tuple[Code, ...]:
    place = task.folder / CODE_NAME
    try:
        record = from_plain(_Record, read_checked_json(place), str(place))
    except UserError:
        return ()
    return record.versions if record.key == task.key else ()


def _imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of what may be modules; of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_followed(module: str) -> bool:
    return module.partition(".")[0] not in _NOT_FOLLOWED


def _shape(node: Any) -> Any:
    """A syntax tree as tuples: without places and docstrings, the same in every Python."""
    if isinstance(node, list):
        return [_shape(each) for each in node]
    if not isinstance(node, ast.AST):
        return node
    fields = dict(ast.iter_fields(node))
    if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    given = ((name, _shape(value)) for name, value in fields.items() if value not in (None, []))
    return type(node).__name__, *given


def _short(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
