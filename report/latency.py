"""What a clip takes in a bundle, where that was limited."""

from stages.packing.receipt import Receipt


def latency_facts(receipt: Receipt) -> dict[str, str]:
    """The sum, each member's part, and where it was measured; empty where it was free."""
    facts = {}
    for own in receipt.latency:
        parts = ", ".join(f"{name} {taken:.3f}" for name, taken in own.members.items())
        facts["milliseconds a clip"] = f"{own.milliseconds:.3f} of {own.limit:g}"
        facts["milliseconds by member"] = parts
        facts["measured"] = f"on this machine: {own.machine}, batch {own.batch}"
    return facts
