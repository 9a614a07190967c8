"""What the tests of own families share: the examples of the documentation, loaded for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import families
from common import registry

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"


@contextmanager
def nothing_stays_registered() -> Iterator[None]:
    """Afterwards every registry is as it was."""
    with pytest.MonkeyPatch.context() as patch:
        for each in registry.Registry._all:
            patch.setattr(each, "_entries", dict(each._entries))
            patch.setattr(each, "_sources", dict(each._sources))
        yield


def module_of(family: str) -> Any:
    """What the file of an own family defines."""
    return sys.modules[families.get(family).module.__module__]
