"""Things by name: families, precisions, stages, formats of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from common.errors import UserError
from common.problems import did_you_mean, quoted

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Extension:
    """A Python file of the user's own that adds to registries.

    Attributes:
        path: where it lies, absolute.
        digest: sha256 of its content.
    """

    path: Path
    digest: str


class Registry(Generic[Entry]):
    """Entries by name; a name is taken once.

    Args:
        kind: what the entries are, for messages.
        error: what is raised.
        own: imports what adds the project's own entries, as soon as they are asked for.
    """

    _all: list[Registry[Any]] = []  # noqa: RUF012
    _adding: Extension | None = None

    def __init__(
        self, kind: str, error: type[UserError], own: Callable[[], None] | None = None
    ) -> None:
        self._kind = kind
        self._error = error
        self._own = own
        self._entries: dict[str, tuple[Entry, Extension | None]] = {}
        Registry._all.append(self)

    def add(self, name: str, entry: Entry) -> None:
        """Adds an entry; that it stands there already is no error.

        Raises:
            UserError: another one has the name.
        """
        if Registry._adding:
            # The names of the project's own are taken.
            self._add_own()
        if self._entries.setdefault(name, (entry, Registry._adding))[0] != entry:
            raise self._error(f"{self._kind} {name!r} is registered twice: rename one of them")

    def get(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            UserError: there is none.
        """
        self._add_own()
        if name not in self._entries:
            raise self._error(about_unknown(self._kind, name, self._entries))
        return self._entries[name][0]

    def names(self) -> list[str]:
        """The names, in the order in which they were added."""
        self._add_own()
        return list(self._entries)

    def source(self, name: str) -> Extension | None:
        """The user's file that added the entry; None for what the project has itself."""
        return self._entries.get(name, (None, None))[1]

    def _add_own(self) -> None:
        """Has the project's own entries added, if they are not yet."""
        own, self._own = self._own, None
        if own is not None:
            of_user, Registry._adding = Registry._adding, None
            try:
                own()
            finally:
                Registry._adding = of_user


def about_unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What is said of a name that none of the `known` entries of a kind has."""
    text = f"unknown {kind} {quoted(name[:50])}; there are {', '.join(known)}"
    own = "if it is one of your own, name its file with extensions=[...]"
    meant = did_you_mean(name, known)
    return f"{text}; {meant} {own.capitalize()}" if meant else f"{text}; {own}"


def _remember() -> Callable[[], None]:
    """What makes every registry again what it is now."""
    for registry in Registry._all:
        registry._add_own()
    before = [(registry, dict(registry._entries)) for registry in Registry._all]

    def restore() -> None:
        for registry, entries in before:
            registry._entries = entries

    return restore


@contextmanager
def restored() -> Iterator[None]:
    """Afterwards every registry is as it was."""
    restore = _remember()
    try:
        yield
    finally:
        restore()


@contextmanager
def adding(extension: Extension) -> Iterator[None]:
    """Says of what is added within it that it is of a file; on an error nothing is added.

    It takes the place of what the same file added before it was edited.
    """
    restore = _remember()
    for registry in Registry._all:
        registry._entries = {
            name: (entry, source)
            for name, (entry, source) in registry._entries.items()
            if source is None or source.path != extension.path
        }
    Registry._adding = extension
    try:
        yield
    except BaseException:
        restore()
        raise
    finally:
        Registry._adding = None


def names_of(extension: Extension) -> tuple[str, ...]:
    """The names that a file, or another of the same content, added in all registries."""
    return tuple(
        name
        for registry in Registry._all
        for name, (_, source) in registry._entries.items()
        if source is not None and source.digest == extension.digest
    )


def kinds_of(extension: Extension) -> set[str]:
    """What a file, or another of the same content, adds: kinds such as "family" or "format"."""
    return {
        registry._kind
        for registry in Registry._all
        for _, source in registry._entries.values()
        if source is not None and source.digest == extension.digest
    }


def digests_of(*entries: tuple[str, str]) -> dict[str, str]:
    """The digests of the users' files that added these entries, for the keys of what they make.

    Args:
        entries: Kind and name, such as ("family", "netvlad"). What is the project's own is left
            out, and so is what there is not.

    Returns:
        Digests by `<kind> <name>`.
    """
    return {
        f"{kind} {name}": source.digest
        for kind, name in entries
        for registry in Registry._all
        if registry._kind == kind and (source := registry.source(name)) is not None
    }
