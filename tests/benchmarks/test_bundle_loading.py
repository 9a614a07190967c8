"""The benchmark of loading runs on a small member, and its files are what they are named."""

from __future__ import annotations

from benchmarks.bundle_loading import FORMS, measure


def test_every_form_is_measured() -> None:
    results = measure(hidden=(16,), repeats=1)
    assert results.keys() == FORMS.keys()
    sizes = {form: result["megabytes"] for form, result in results.items()}
    assert sizes["uniform8, compressed"] < sizes["uniform8"]
    assert sizes["uniform4"] < sizes["uniform8"] < sizes["float16"]
    for result in results.values():
        assert all(result[name] > 0 for name in ("reading", "mapping", "loading"))
