"""Data that nothing is known of: what its files, its columns and its labels are."""
