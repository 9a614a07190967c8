"""What the tests of own families share: the examples of the documentation, loaded for a while."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import families

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"


def module_of(family: str) -> Any:
    """What the file of an own family defines."""
    return sys.modules[families.get(family).module.__module__]
