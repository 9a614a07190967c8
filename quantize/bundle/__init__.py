"""The bundle: its manifest, layout, tensors, and the models read from it."""
