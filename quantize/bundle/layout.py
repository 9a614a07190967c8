"""How large a bundle's file will be, from what its members look like in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, Self

from quantize.bundle.container import TensorLayout, container_bytes
from quantize.bundle.manifest import METADATA_KEY, VERSION, Manifest, MemberEntry, complete, to_text
from quantize.bundle.stored import to_tensors
from quantize.bundle.tags import THRESHOLDS
from quantize.state import QuantizedState
from records import Schema


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
        tensors = sorted(to_tensors(state, entropy).items())
        return cls(name, family, config, tuple(TensorLayout.of(*item) for item in tensors))

    def tensor_bytes(self) -> int:
        """Bytes of its tensors, without what the header says of them."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @cached_property
    def entry(self) -> MemberEntry:
        """Its entry in the manifest: every weight takes the same room.

        Raises:
            BundleError: Name, family or configuration is wrong.
        """
        return complete(MemberEntry(self.name, self.family, self.config, 1.0))

    @cached_property
    def placed(self) -> list[TensorLayout]:
        """Its tensors under their names in the file."""
        return [replace(tensor, name=f"{self.name}/{tensor.name}") for tensor in self.tensors]


def bundle_bytes(
    schema: Schema,
    members: Sequence[MemberLayout],
    receipt: Mapping[str, Any],
    mix: str = "probability",
    *,
    thresholds: bool = False,
) -> int:
    """The exact size of the file that `write_bundle` would write of members with these layouts.

    It does not depend on the weights, nor on any other float: of two receipts that differ in
    their figures alone, both give the same size. Called again with the same layouts, as by a search
    for the best members, it takes well below a millisecond.

    Args:
        schema: As in `write_bundle`, and so are the others.
        members: The layouts.
        receipt: Of any figures.
        mix: What the weights mix.
        thresholds: Whether the labels have thresholds.

    Raises:
        BundleError: As in `write_bundle`.
    """
    entries = tuple(member.entry for member in members)
    text, slack = to_text(Manifest(VERSION, schema, mix, entries, receipt))
    tensors = chain.from_iterable(member.placed for member in members)
    if thresholds:
        tensors = chain(tensors, [thresholds_layout(schema)])
    return container_bytes({METADATA_KEY: text}, tensors, slack)


def thresholds_layout(schema: Schema) -> TensorLayout:
    """What the labels' thresholds take in a file."""
    return TensorLayout(THRESHOLDS, "F32", (schema.num_labels,))
