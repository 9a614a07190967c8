"""How figures are written on the page."""

from records import Schema


def plus_minus(value: float, error: float) -> str:
    """A score and its standard error."""
    return f"{value:.5f} ± {error:.5f}"


def label_name(schema: Schema, label: int) -> str:
    """What a label is called; its number where it has no name."""
    return schema.label_names[label] if schema.label_names else str(label)
