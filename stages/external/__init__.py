"""Models that other programs trained, by their predictions: stored, weighed, blended."""
