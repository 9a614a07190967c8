"""Shards in object storage: which there are, and copies of them on this machine."""
