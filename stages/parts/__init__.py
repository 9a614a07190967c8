"""A model or a bundle over a split in parts: each is a task, and a kill costs one at most."""
