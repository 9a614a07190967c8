"""What a data set is like: figures of its labels, its values and its clips, from one pass."""
