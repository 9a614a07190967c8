"""Tries the promises of docs/reliability.md anew: `python -m benchmarks.faults`."""
