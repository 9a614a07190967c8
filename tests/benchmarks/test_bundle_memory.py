from __future__ import annotations

from benchmarks.bundle_memory import measure


def test_memory_is_that_of_the_file_and_of_what_is_resident() -> None:
    """A bundle whose weights take four times as much once all are decoded."""
    figures = measure(members=6, hidden=(1024, 1024), clips=8)
    size, member = figures["bundle_bytes"], figures["member_bytes"]
    assert figures["same"] and 3.9 * size < 6 * member < 4.1 * size
    apart, together = (figures[name]["grown"] for name in ("resident", "all decoded"))
    # What torch takes at its first use comes to both.
    assert apart < together - 2 * size
