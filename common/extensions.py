"""Python files of the user's own, which add families, precisions, stages or formats of data."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from common.errors import UserError
from common.registry import Extension, adding, names_of


def load_extension(path: Path | str) -> tuple[str, ...]:
    """Executes a Python file that registers something; once a process, however often it is named.

    The file stands alone: what it imports are installed packages, the project's among them, and
    nothing beside it. Only the command line, a configuration and callers name such files; nothing
    that is read from data or a bundle does.

    Returns:
        The names that it registered.

    Raises:
        UserError: there is no such file, it raises, it registers nothing, or a name of its own is
            taken; nothing of it is then registered.

    Example:
        load_extension("median.py")
        bundle = Bundle.load("bundle.safetensors")
    """
    return names_of(_load(path))


def load_extensions(paths: Iterable[Path | str]) -> tuple[Extension, ...]:
    """Executes several files as `load_extension` does, and says which content each had."""
    return tuple(_load(path) for path in paths)


def _load(path: Path | str) -> Extension:
    path = Path(path).resolve()
    try:
        code = path.read_bytes()
    except OSError as error:
        raise UserError(f"extensions: {path}: {error.strerror}") from error
    extension = Extension(path, hashlib.sha256(code).hexdigest())
    if not names_of(extension):
        with adding(extension):
            _execute(path, code)
            if not names_of(extension):
                raise UserError(
                    f"extensions: {path} registers nothing; decorate a family's module with "
                    "@families.register, or see docs/extending.md"
                )
    return extension


def _execute(path: Path, code: bytes) -> None:
    """Runs exactly these bytes: a cached compilation may be of an older file."""
    module = ModuleType(f"extension_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}")
    module.__file__ = str(path)
    # Dataclasses and their type hints look their module up.
    sys.modules[module.__name__] = module
    try:
        exec(compile(code, str(path), "exec"), vars(module))
    except Exception as error:
        del sys.modules[module.__name__]
        raise UserError(f"extensions: {_place(path, error)}: {_said(error)}") from error


def _place(path: Path, error: Exception) -> str:
    """The file, and the line of it that raised."""
    if isinstance(error, SyntaxError):
        return f"{path}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
