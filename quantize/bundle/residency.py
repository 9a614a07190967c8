"""Which members stay decoded where there is no room for all of them."""

from collections.abc import Mapping

from quantize.errors import BundleError


def kept_members(sizes: Mapping[str, int], resident: int) -> set[str]:
    """The members that stay; with the largest of the others beside them they fit.

    The others are decoded in turn whenever a batch is scored, so it is the most bytes that ought to
    stay: the largest members are taken first.

    Args:
        sizes: Bytes of each member once it is decoded.
        resident: Bytes that all that are decoded may take at any time.

    Raises:
        BundleError: A single member takes more; the message says how much is needed.

    Example:
        >>> sorted(kept_members({"a": 4, "b": 3, "c": 3, "d": 1}, 8))
        ['a', 'd']
    """
    largest = max(sizes, key=lambda name: sizes[name])
    if sizes[largest] > resident:
        raise BundleError(
            f"resident={resident}: member {largest} takes {sizes[largest]:,} bytes once it is "
            "decoded; give at least as many"
        )
    kept: set[str] = set()
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        others = [size for other, size in sizes.items() if other not in kept | {name}]
        taken = sum(sizes[other] for other in kept | {name})
        if taken + max(others, default=0) <= resident:
            kept.add(name)
    return kept
