"""What a bundle says about itself: schema, members, weights, receipt, as one JSON text."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, TypeVar

from common.codec import from_plain, parse_json
from common.problems import quoted
from families import FamilyError, config_from_dict, config_to_dict, with_older_fields
from quantize.errors import BundleError
from quantize.precision import LARGEST
from records import Schema
from records.schema import plain_schema

METADATA_KEY = "onegig"
VERSION = 4
READABLE = (1, 2, 3, 4)
MIXES = ("probability", "log_odds")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")
# As `ensemble.mix` takes them.
_SUM_TOLERANCE = 1e-3
_MAX_STREAMS = 100
# The longest text of a float64, such as -1.2345678901234567e-300.
_WIDEST_FLOAT = 24


@dataclass(frozen=True)
class MemberEntry:
    """One member, without its tensors.

    Attributes:
        name: Unique in the bundle; letters, digits and ._+-
        family: Its name in the registry of families.
        config: Fields of the family's configuration, as `families.config_to_dict` writes them.
        weight: Its share in the mix, from 0 to 1.
    """

    name: str
    family: str
    config: Mapping[str, Any]
    weight: float


Entry = TypeVar("Entry", bound=MemberEntry)


@dataclass(frozen=True)
class Manifest:
    """Everything in a bundle that is no tensor; the keys of the JSON text.

    Attributes:
        version: Of the file's format.
        schema: What a record holds, with the labels' names where they are known.
        mix: What the weights mix: `probability` or `log_odds`.
        members: Sorted by name.
        receipt: What the maker reports of it; read by people.

    Raises:
        BundleError: The mix is unknown, there is no member, or there are two of a name, or none
            has a weight.
    """

    version: int
    schema: Schema
    mix: str
    members: tuple[MemberEntry, ...]
    receipt: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.mix not in MIXES:
            raise BundleError(f"mix {quoted(self.mix)}: probability and log_odds are known")
        if not self.members:
            raise BundleError("a bundle needs at least one member")
        for name, following in itertools.pairwise(sorted(member.name for member in self.members)):
            if name == following:
                raise BundleError(f"member {quoted(name)}: there are two of that name")
        if all(member.weight == 0 for member in self.members):
            raise BundleError("every member has weight 0; at least one must have more")


def complete(member: Entry) -> Entry:
    """Checks a member; writes out the fields of its configuration that were left to defaults.

    Raises:
        BundleError: Its name, family, configuration or weight is wrong.
    """
    if not _NAME.fullmatch(member.name):
        raise BundleError(f"member {quoted(member.name)}: use up to 200 letters, digits and ._+-")
    if not 0 <= member.weight <= 1:
        raise BundleError(f"member {member.name}: weight {member.weight}; 0 to 1 is needed")
    try:
        config = config_to_dict(config_from_dict(member.family, member.config))
    except FamilyError as error:
        raise BundleError(f"member {member.name}: {error}") from error
    return replace(member, config=config, weight=float(member.weight))


def completed(members: Sequence[Entry]) -> tuple[Entry, ...]:
    """All of them, as `complete` does it, sorted by name."""
    return tuple(sorted(map(complete, members), key=lambda member: member.name))


def check_numbers(manifest: Manifest) -> None:
    """Makes sure that a bundle can be scored with: shares that are shares, a range that is one.

    Not among the checks of `Manifest`, since sizes are computed before the weights are known.

    Raises:
        BundleError: The weights do not sum to 1, there are too many streams, or their bytes stand
            for numbers with which nothing can be computed.
    """
    total = sum(member.weight for member in manifest.members)
    if abs(total - 1) > _SUM_TOLERANCE:
        raise BundleError(f"the members' weights sum to {total:.6g}; they have to sum to 1")
    schema = manifest.schema
    if len(schema.streams) > _MAX_STREAMS:
        raise BundleError(f"schema: {len(schema.streams)} streams; {_MAX_STREAMS} is the limit")
    for name in ("quantized_min", "quantized_max"):
        value = getattr(schema, name)
        if abs(value) > LARGEST:
            raise BundleError(f"schema.{name}: {value}; its products would overflow float32")


def to_text(manifest: Manifest) -> tuple[str, int]:
    """The JSON text, and the spaces that make a file's size independent of its figures.

    As many bytes are added as every float falls short of the longest one. So a choice under a
    budget holds before weights and scores are known, as long as none is added.

    Raises:
        BundleError: The receipt is not JSON, or holds NaN or an infinity.
    """
    keys = [field.name for field in fields(MemberEntry)]
    entries = [{key: getattr(member, key) for key in keys} for member in manifest.members]
    parts = {
        "version": (str(manifest.version), 0),
        "schema": _schema_text(manifest.schema),
        "mix": _text(manifest.mix, "mix"),
        "members": _text(entries, "members"),
        "receipt": _text(manifest.receipt, "receipt"),
    }
    text = ",".join(f'"{key}":{part}' for key, (part, _) in parts.items())
    return f"{{{text}}}", sum(slack for _, slack in parts.values())


def _text(value: Any, place: str) -> tuple[str, int]:
    """A value as JSON, and by how many characters its floats fall short of the longest ones."""
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BundleError(f"{place}: not writable as JSON: {error}") from error
    floats: list[str] = []
    json.loads(text, parse_float=floats.append)
    return text, sum(_WIDEST_FLOAT - len(number) for number in floats)


@lru_cache(maxsize=8)
def _schema_text(schema: Schema) -> tuple[str, int]:
    # The longest part of all, which does not change while members are being chosen.
    return _text(plain_schema(schema), "schema")


def from_text(text: str, most_members: int) -> Manifest:
    """Inverse of `to_text`, checking everything.

    Args:
        text: The JSON text.
        most_members: As many as there can be in the file.

    Raises:
        BundleError: A field is missing, unknown or wrong; it is named.
    """
    values = parse_json(text, "metadata", BundleError)
    # First, since another version may have other keys.
    version = values.get("version", VERSION) if isinstance(values, dict) else VERSION
    if type(version) is not int or version not in READABLE:
        raise BundleError(f"metadata: format version {str(version)[:20]}; 1 to {VERSION} are known")
    members = values.get("members") if isinstance(values, dict) else None
    if isinstance(members, list) and len(members) > most_members:
        raise BundleError(f"metadata: {len(members)} members, and only {most_members} tensors")
    manifest = from_plain(Manifest, values, "metadata", BundleError)
    entries = [replace(m, config=with_older_fields(m.family, m.config)) for m in manifest.members]
    manifest = replace(manifest, members=completed(entries))
    check_numbers(manifest)
    return manifest
