"""The receipt of a bundle: what it scores and what it weighs, in the file and beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from annotated_types import MaxLen

from common.codec import count_values, from_plain, parse_json, to_plain
from common.errors import ConfigError
from common.files import sha256_file
from quantize.errors import BundleError
from records.seen import SeenClips

RECEIPT_NAME = "receipt.json"
# Far above any need: a member takes 400 bytes and ten values, a shard a hundred bytes and one.
_MAX_BYTES = 8 * 2**20
_MAX_VALUES = 100_000
_ONLY_BESIDE = {"bytes", "budget_bytes", "sha256", "uniform8", "left_out", "not_packed", "latency"}


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
class Baseline:
    """The bundle of all members that fit at 8 bits; its GAP is of `search`."""

    bytes: int
    search_gap: float
    weights: dict[str, float]


@dataclass(frozen=True)
class TagsReceipt:
    """The tags that a bundle gives by its thresholds.

    Attributes:
        wanted_precision: what the thresholds were chosen for, on `search`; 0 for each label's best
            F1.
        f1: of all tags of all clips of `report`; `f1_error` is its standard error.
        precision: of them.
        recall: of them.
    """

    wanted_precision: float
    f1: float = 0.0
    f1_error: float = 0.0
    precision: float = 0.0
    recall: float = 0.0


@dataclass(frozen=True)
class LatencyReceipt:
    """What a clip takes, where that was limited: figures of the machine that packed.

    Attributes:
        machine: that one; `one thread of` a processor, or a GPU.
        batch: clips that are computed at once.
        limit: milliseconds.
        milliseconds: of a clip in all members.
        members: in each; of one that stands on another its own part, for the other counts once.
    """

    machine: str
    batch: int
    limit: float
    milliseconds: float
    members: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What lies beside the file, and most of it in the file; scores are of `report`.

    Attributes:
        bytes: of the file.
        budget_bytes: what it had to keep to.
        sha256: of the file.
        gap: GAP@20 of the file as read back; `gap_error` is its standard error.
        gap_float: that of its members and weights at float32, from stored predictions.
        uniform8_gap: that of all members that fit at 8 bits, with their own searched weights.
        uniform8_gain_error: the standard error of `gap - uniform8_gap`, over the same clips.
        flat_gap: that of their flat mean.
        flat_gain_error: the standard error of `gap - flat_gap`, over the same clips.
        map: MAP of the file; `map_error` is its standard error.
        map_at_10: MAP@10 of the file; `map_at_10_error` is its standard error.
        search_gap: GAP@20 on `search`, where the bundle was chosen; with folds, of models that each
            did not see the clips that they score. `search_gap_error` is its standard error.
        copies: how many models of each student are in it, where there are as many.
        copies_gain: what they are expected to have more GAP than one of each, for which
            `search_gap` is. `copies_gain_error` is its standard error.
        members: what is in it.
        hashes: fingerprints of the splits (`data`) and digests of the students (`students`).
        tags: what its thresholds are worth, where it has any.
        seen: the clips that its members were trained on, and those that it was chosen on.
        uniform8: the baseline, where any member fits at 8 bits.
        left_out: the students that are not in it.
        not_packed: the external models, which have no weights; stage `predict` blends them.
        latency: what a clip takes, where that was limited; beside the file alone.
    """

    bytes: int = 0
    budget_bytes: int = 0
    sha256: str = ""
    gap: float = 0.0
    gap_error: float = 0.0
    gap_float: float = 0.0
    uniform8_gap: float = 0.0
    uniform8_gain_error: float = 0.0
    flat_gap: float = 0.0
    flat_gain_error: float = 0.0
    map: float = 0.0
    map_error: float = 0.0
    map_at_10: float = 0.0
    map_at_10_error: float = 0.0
    search_gap: float = 0.0
    search_gap_error: float = 0.0
    copies: int = 1
    copies_gain: float = 0.0
    copies_gain_error: float = 0.0
    members: tuple[MemberReceipt, ...]
    hashes: dict[str, dict[str, str]]
    tags: tuple[TagsReceipt, ...] = ()
    seen: tuple[SeenClips, ...] = ()
    uniform8: tuple[Baseline, ...] = ()
    left_out: tuple[MemberReceipt, ...] = ()
    not_packed: tuple[str, ...] = ()
    latency: tuple[LatencyReceipt, ...] = ()

    def beside(self) -> dict[str, Any]:
        """What lies beside the file: all of it, and of the latency nothing where it is free."""
        plain = to_plain(self)
        return plain if self.latency else {k: v for k, v in plain.items() if k != "latency"}

    def in_file(self) -> dict[str, Any]:
        """What stands in the file itself: nothing that depends on the budget, or on the file."""
        plain = to_plain(self)
        return {name: plain[name] for name in self.names_in_file()}

    @classmethod
    def names_in_file(cls) -> list[str]:
        """The keys of `in_file`."""
        return [field.name for field in fields(cls) if field.name not in _ONLY_BESIDE]


@dataclass(frozen=True)
class _Seen:
    """What of a receipt says what its bundle has seen: train, search and clips without labels."""

    seen: Annotated[tuple[SeenClips, ...], MaxLen(3)] = ()


def seen_by(receipt: Mapping[str, Any]) -> tuple[SeenClips, ...]:
    """The clips that a bundle has seen, by the receipt in its file; none where it does not say.

    Raises:
        BundleError: the receipt says something else.
    """
    values = {name: value for name, value in receipt.items() if name == "seen"}
    return from_plain(_Seen, values, "receipt", BundleError).seen


def read_receipt(path: Path) -> Receipt:
    """Reads a receipt, of which nothing is believed.

    Raises:
        ConfigError: It cannot be read, is no receipt, or is far too long for one.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(text) > _MAX_BYTES or count_values(text) > _MAX_VALUES:
        raise ConfigError(
            f"{path}: no receipt: of more than {_MAX_BYTES} bytes or {_MAX_VALUES} values"
        )
    return from_plain(Receipt, parse_json(text, str(path), ConfigError), str(path), ConfigError)


def check_receipt(bundle: Path) -> None:
    """Holds a bundle against the receipt that lies beside it, if there is one.

    Raises:
        ConfigError: The receipt is of another file, or is none.
    """
    path = bundle.with_name(RECEIPT_NAME)
    if not path.is_file():
        return
    receipt, size = read_receipt(path), bundle.stat().st_size
    wrong = f"{size} bytes, not {receipt.bytes}" if size != receipt.bytes else ""
    if not wrong and sha256_file(bundle) != receipt.sha256:
        wrong = "another sha256"
    if wrong:
        raise ConfigError(
            f"bundle: {bundle} has {wrong}: {path} is the receipt of another file, or one of them "
            "is damaged; get both anew, or take the receipt away"
        )
