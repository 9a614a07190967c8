"""The receipt of a bundle: what it scores and what it weighs, in the file and beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.codec import from_plain, to_plain
from common.files import read_json, write_json
from runs import RunError


@dataclass(frozen=True)
class Figures:
    """Scores of a bundle on `report`, GAP@20 where nothing else is said.

    `gap`, `map` and `map_at_10` are of the file as read back; `gap_float` is of its members at
    float32; `uniform8_gap` and `flat_gap` are of all members that fit at 8 bits, with weights of
    their own and as a flat mean. `search_gap` is of `search`, where the bundle was chosen.
    """

    gap: float = 0.0
    gap_float: float = 0.0
    uniform8_gap: float = 0.0
    flat_gap: float = 0.0
    map: float = 0.0
    map_at_10: float = 0.0
    search_gap: float = 0.0


@dataclass(frozen=True)
class MemberReceipt:
    """A student: how it is stored, bytes, weight, GAP@20 on `report` at 8 bits and at float32."""

    name: str
    family: str
    precision: str
    bytes: int
    weight: float
    gap: float
    gap_float: float


@dataclass(frozen=True)
class Hashes:
    """What the bundle was made of: fingerprints of the splits, digests of the students."""

    data: dict[str, str]
    students: dict[str, str]


@dataclass(frozen=True)
class Baseline:
    """The bundle of all members that fit at 8 bits; its GAP is of `search`."""

    bytes: int
    search_gap: float
    weights: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class BundleReceipt(Figures):
    """What stands in the file itself: nothing that depends on the budget, or on the file."""

    members: tuple[MemberReceipt, ...]
    hashes: Hashes


@dataclass(frozen=True, kw_only=True)
class Receipt(BundleReceipt):
    """What lies beside the file; `uniform8` is empty where no member fits at 8 bits."""

    bytes: int
    budget_bytes: int
    sha256: str
    uniform8: tuple[Baseline, ...]
    left_out: tuple[MemberReceipt, ...]

    def write(self, path: Path) -> None:
        """Writes it as JSON, what is said of the file first."""
        plain = to_plain(self)
        first = {name: plain.pop(name) for name in ("bytes", "budget_bytes", "sha256")}
        write_json(path, first | plain)

    @classmethod
    def read(cls, path: Path) -> Receipt:
        """Reads what `write` wrote.

        Raises:
            RunError: it is no receipt.
        """
        return from_plain(cls, read_json(path), str(path), RunError)
