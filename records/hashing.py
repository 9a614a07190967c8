"""The hash of a clip's id, by which splits and folds are cut."""

from __future__ import annotations

import hashlib


def id_hash(clip_id: str) -> float:
    """A number in [0, 1) that depends on the id only: the same everywhere and always."""
    digest = hashlib.blake2b(clip_id.encode("utf-8"), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2.0**53
