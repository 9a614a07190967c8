"""What a bundle says about itself: schema, members, weights, receipt, as one JSON text."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from common.codec import from_plain, parse_json, to_plain
from families import FamilyError, config_from_dict, config_to_dict, with_older_fields
from quantize.errors import BundleError
from records import DataError, Schema

VERSION = 2
READABLE = (1, 2)
MIXES = ("probability", "log_odds")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")
# The longest text of a float64, such as -1.2345678901234567e-300.
_WIDEST_FLOAT = 24


@dataclass(frozen=True)
class MemberEntry:
    """One member, without its tensors.

    Attributes:
        name: Unique in the bundle.
        family: Its name in the registry of families.
        config: Every field of the family's configuration.
        weight: Its share in the mix, from 0 to 1.
    """

    name: str
    family: str
    config: Mapping[str, Any]
    weight: float


@dataclass(frozen=True)
class Manifest:
    """Everything in a bundle that is no tensor.

    Attributes:
        schema: What a record holds, with the labels' names where they are known.
        mix: What the weights mix: `probability` or `log_odds`.
        members: Sorted by name.
        receipt: What the maker reports of it; read by people.
        version: Of the file's format.
    """

    schema: Schema
    mix: str
    members: tuple[MemberEntry, ...]
    receipt: Mapping[str, Any]
    version: int = VERSION


@dataclass(frozen=True)
class _Document:
    """The keys of the JSON text."""

    version: int
    schema: dict[str, Any]
    mix: str
    members: tuple[MemberEntry, ...]
    receipt: dict[str, Any]


def make_manifest(
    schema: Schema, mix: str, members: Sequence[MemberEntry], receipt: Mapping[str, Any]
) -> Manifest:
    """Checks and completes: members sorted by name, configurations with all their fields.

    Raises:
        BundleError: A name, family, configuration, weight or the mix is wrong; it is named.
    """
    complete = tuple(sorted((complete_entry(m) for m in members), key=lambda m: m.name))
    check_members(mix, [member.name for member in complete])
    if not any(member.weight > 0 for member in complete):
        raise BundleError("every member has weight 0; at least one must have more")
    return Manifest(schema, mix, complete, receipt)


def check_members(mix: str, names: Sequence[str]) -> None:
    """Holds the mix and the members' sorted names against what a bundle needs.

    Raises:
        BundleError: The mix is unknown, there is no member, or there are two of a name.
    """
    if mix not in MIXES:
        raise BundleError(f"mix {mix!r}: probability and log_odds are known")
    if not names:
        raise BundleError("a bundle needs at least one member")
    for name, following in itertools.pairwise(names):
        if name == following:
            raise BundleError(f"member {name}: there are two of that name")


def complete_entry(member: MemberEntry) -> MemberEntry:
    """Checks a member; writes out the fields of its configuration that were left to defaults.

    Raises:
        BundleError: Its name, family, configuration or weight is wrong.
    """
    if not _NAME.fullmatch(member.name):
        raise BundleError(f"member {member.name[:200]!r}: use up to 200 letters, digits and ._+-")
    if not 0 <= member.weight <= 1:
        raise BundleError(f"member {member.name}: weight {member.weight}; 0 to 1 is needed")
    try:
        config = config_to_dict(config_from_dict(member.family, member.config))
    except FamilyError as error:
        raise BundleError(f"member {member.name}: {error}") from error
    return MemberEntry(member.name, member.family, config, float(member.weight))


@dataclass(frozen=True)
class Piece:
    """A part of the manifest's text.

    Attributes:
        text: JSON, or what stands between two parts of it; ASCII.
        slack: By how many characters its floats fall short of the longest ones.
    """

    text: str
    slack: int = 0

    @cached_property
    def header_bytes(self) -> int:
        """What it takes in the header, where it stands in a JSON string, with its slack."""
        return len(self.text) + self.text.count('"') + self.text.count("\\") + self.slack


def json_piece(value: Any, place: str) -> Piece:
    """A value as JSON.

    Raises:
        BundleError: It cannot be, or holds NaN or an infinity; the message opens with `place`.
    """
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BundleError(f"{place}: not writable as JSON: {error}") from error
    return Piece(text, sum(_WIDEST_FLOAT - len(repr(number)) for number in _floats(value)))


def entry_piece(member: MemberEntry) -> Piece:
    """A member's entry, which `complete_entry` has been through."""
    return json_piece(vars(member), f"member {member.name}")


def manifest_pieces(
    schema: Piece, mix: str, members: Sequence[Piece], receipt: Piece
) -> Iterator[Piece]:
    """The manifest in pieces, of which most do not change while members are being chosen."""
    yield Piece(f'{{"version":{VERSION},"schema":')
    yield schema
    yield Piece(f',"mix":"{mix}","members":[')
    for i, member in enumerate(members):
        if i:
            yield Piece(",")
        yield member
    yield Piece('],"receipt":')
    yield receipt
    yield Piece("}")


def to_text(manifest: Manifest) -> tuple[str, int]:
    """The JSON text, and the spaces that make a file's size independent of its figures.

    As many bytes are added as every float falls short of the longest one. So a choice under a
    budget holds before weights and scores are known, as long as none is added.

    Raises:
        BundleError: The receipt is not JSON, or holds NaN or an infinity.
    """
    pieces = list(
        manifest_pieces(
            json_piece(to_plain(manifest.schema), "schema"),
            manifest.mix,
            [entry_piece(member) for member in manifest.members],
            json_piece(manifest.receipt, "receipt"),
        )
    )
    return "".join(piece.text for piece in pieces), sum(piece.slack for piece in pieces)


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _floats(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _floats(item)


def from_text(text: str) -> Manifest:
    """Inverse of `to_text`, checking everything.

    Raises:
        BundleError: A field is missing, unknown or wrong; it is named.
    """
    values = parse_json(text, "metadata", BundleError)
    # First, since another version may have other keys.
    version = values.get("version", VERSION) if isinstance(values, dict) else VERSION
    if type(version) is not int or version not in READABLE:
        raise BundleError(f"metadata: format version {str(version)[:20]}; 1 and 2 are known")
    document = from_plain(_Document, values, "metadata", BundleError)
    try:
        schema = from_plain(Schema, document.schema, "schema", DataError)
    except DataError as error:
        raise BundleError(f"metadata: {error}") from error
    members = [replace(m, config=with_older_fields(m.family, m.config)) for m in document.members]
    manifest = make_manifest(schema, document.mix, members, document.receipt)
    return replace(manifest, version=version)
