"""Damaged files without end: `python -m benchmarks.faults --fuzz MINUTES`."""
