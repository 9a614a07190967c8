"""The project's own stages: importing this module registers them, in the order of the listing."""

from __future__ import annotations

from stages import (  # noqa: F401
    all,
    distill,
    ensemble,
    evaluate,
    export,
    pack,
    plan,
    predict,
    synthesize,
    teachers,
)
