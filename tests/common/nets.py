"""Dataclasses that the codec's tests read and write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen

from common.codec import (
    Positive,
    Share,
    Text,
)


class OwnError(ValueError):
    """That of a room."""


@dataclass(frozen=True)
class Head:
    kind: Literal["logistic", "mixture"] = "mixture"
    experts: Positive = 2
    prior: Annotated[float, Gt(0), Le(1)] = 1.0

    def __post_init__(self) -> None:
        if self.kind == "logistic" and self.experts != 1:
            raise OwnError("logistic has 1 expert")


@dataclass(frozen=True)
class Base:
    clusters: Positive = 8
    dropout: Share = 0.0


@dataclass(frozen=True)
class Net(Base):
    sampling: ClassVar[str] = "draw"
    hidden: tuple[Positive, ...] = (4,)
    gating: bool = False
    head: Head = field(default_factory=Head)
    heads: tuple[Head, ...] = ()
    frames: Positive | None = None
    spare: Head | None = None
    precision: Literal["low", "high"] | None = None
    ids: int | str = 0
    own: Annotated[int, Ge(1)] | Head | tuple[int, ...] = 1
    rows: tuple[tuple[int, ...], ...] = ()
    levels: Mapping[Literal["a", "b"], int | Literal["auto"]] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    extra: dict[str, Any] = field(default_factory=dict)
    by_name: Mapping[str, Head] = field(default_factory=dict)
    folder: Path = Path("here")
    run: Text = "default"
    title: Annotated[str, MinLen(1)] = "net"


@dataclass(frozen=True)
class Stream:
    name: str
    size: Positive


@dataclass(frozen=True)
class Schema:
    name: str
    level: Literal["frame", "video"]
    streams: tuple[Stream, ...]

    def __post_init__(self) -> None:
        if len({stream.name for stream in self.streams}) != len(self.streams):
            raise OwnError(f"schema {self.name!r}: two streams of a name")


NET_KEYS = (
    "clusters, dropout, hidden, gating, head, heads, frames, spare, precision, ids, own, rows, "
    "levels, pair, extra, by_name, folder, run, title"
)
