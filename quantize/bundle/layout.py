"""How large a bundle's file will be, from what its members look like in it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np

from common.codec import from_plain, to_plain
from common.tensors import METADATA
from quantize.bundle.container import ALIGNMENT, DTYPE_NAMES
from quantize.bundle.manifest import (
    MemberEntry,
    Piece,
    check_members,
    complete_entry,
    entry_piece,
    json_piece,
    manifest_pieces,
)
from quantize.bundle.stored import to_tensors
from quantize.errors import BundleError
from quantize.state import QuantizedState
from records import Schema

METADATA_KEY = "onegig"
_ITEM_BYTES = {name: dtype.itemsize for dtype, name in DTYPE_NAMES.items()}
_WIDEST_FIRST = sorted(_ITEM_BYTES, key=lambda dtype: -_ITEM_BYTES[dtype])
_EMPTY_HEADER = len(json.dumps({METADATA: {METADATA_KEY: ""}}, separators=(",", ":")))
_POWERS_OF_TEN = 10 ** np.arange(1, 19)


@dataclass(frozen=True)
class TensorLayout:
    """A tensor of the file, without its data.

    Attributes:
        name: In its member.
        dtype: `F32`, `F16` or `U8`.
        shape: As it is stored.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Its bytes in the file."""
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]


@dataclass(frozen=True, eq=False)
class MemberLayout:
    """A member, without its data and its weight: all that a file's size depends on.

    It keeps what was computed of it, so that one layout is to serve many bundles.

    Attributes:
        name: Unique in the bundle.
        family: Its name in the registry of families.
        config: Fields of the family's configuration.
        tensors: Those that it has in the file.
    """

    name: str
    family: str
    config: Mapping[str, Any]
    tensors: tuple[TensorLayout, ...]

    @classmethod
    def of(
        cls,
        name: str,
        family: str,
        config: Mapping[str, Any],
        state: QuantizedState,
        entropy: bool = False,
    ) -> Self:
        """The layout of a state; with `entropy` it is compressed to find out."""
        tensors = to_tensors(state, entropy)
        layouts = [
            TensorLayout(tensor_name, DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))
            for tensor_name, tensor in sorted(tensors.items())
        ]
        return cls(name, family, config, tuple(layouts))

    def tensor_bytes(self) -> int:
        """Bytes of its tensors, without what the header says of them."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def to_dict(self) -> dict[str, Any]:
        """The layout as JSON-able lists, strings and numbers."""
        plain: dict[str, Any] = to_plain(self, "layout", BundleError)
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            BundleError: A key is unknown or missing, or a value is of the wrong type.
        """
        return from_plain(cls, values, "layout", BundleError)

    @cached_property
    def entry_bytes(self) -> int:
        """Bytes of its entry in the manifest; see `Piece.header_bytes`.

        Raises:
            BundleError: Name, family or configuration is wrong.
        """
        # Every weight takes the same room.
        entry = complete_entry(MemberEntry(self.name, self.family, self.config, 1.0))
        return entry_piece(entry).header_bytes

    @cached_property
    def place_bytes(self) -> int:
        """Bytes of what the header says of its tensors, without the numbers of their offsets."""
        return sum(self._place_bytes(tensor) for tensor in self.tensors)

    def _place_bytes(self, tensor: TensorLayout) -> int:
        entry = {
            f"{self.name}/{tensor.name}": {
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "data_offsets": [0, 0],
            }
        }
        # A comma instead of two braces, and no zeros.
        return len(json.dumps(entry, separators=(",", ":"))) - 3

    @cached_property
    def sizes(self) -> dict[str, np.ndarray]:
        """By type, the bytes of its tensors in the order of the file."""
        ordered = sorted(self.tensors, key=lambda tensor: tensor.name)
        return {
            dtype: np.array([t.nbytes for t in ordered if t.dtype == dtype], dtype=np.int64)
            for dtype in _ITEM_BYTES
        }


def bundle_bytes(
    schema: Schema,
    members: Sequence[MemberLayout],
    receipt: Mapping[str, Any],
    mix: str = "probability",
) -> int:
    """The exact size of the file that `write_bundle` would write of members with these layouts.

    It does not depend on the weights, nor on any other float: of two receipts that differ in
    their figures alone, both give the same size. Called again with the same layouts, as by a search
    for the best members, it takes well below a millisecond.

    Raises:
        BundleError: As in `write_bundle`.
    """
    # Tensors are sorted by `<member>/<tensor>`, in which a slash comes behind a plus.
    members = sorted(members, key=lambda member: f"{member.name}/")
    check_members(mix, sorted(member.name for member in members))
    header = _EMPTY_HEADER + _manifest_bytes(schema, members, receipt, mix)
    header += sum(member.place_bytes for member in members)
    sizes = [member.sizes[dtype] for dtype in _WIDEST_FIRST for member in members]
    ends = np.cumsum(np.concatenate(sizes))
    begins = np.concatenate([[0], ends[:-1]])
    header += _digits(begins) + _digits(ends)
    return 8 + header + -header % ALIGNMENT + int(ends[-1])


def _manifest_bytes(
    schema: Schema, members: Sequence[MemberLayout], receipt: Mapping[str, Any], mix: str
) -> int:
    # What stands between the pieces counts; the members' own are added below.
    nothing = Piece("")
    pieces = manifest_pieces(nothing, mix, [nothing] * len(members), nothing)
    return (
        sum(piece.header_bytes for piece in pieces)
        + _schema_bytes(schema)
        + sum(member.entry_bytes for member in members)
        + json_piece(receipt, "receipt").header_bytes
    )


@lru_cache(maxsize=8)
def _schema_bytes(schema: Schema) -> int:
    return json_piece(to_plain(schema), "schema").header_bytes


def _digits(numbers: np.ndarray) -> int:
    """How many digits the numbers have together."""
    return int((np.searchsorted(_POWERS_OF_TEN, numbers, side="right") + 1).sum())
