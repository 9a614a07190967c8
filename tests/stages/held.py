"""TFRecords whose reader waits at a shard as long as a file of its name and `.hold` is there.

Who waits says so by its process number, in a file of that name and `.held`.
"""

from __future__ import annotations

import os
import time

from records import Clip, TFRecordFile, register_format


@register_format("held", suffixes=(".held",))
class HeldFile(TFRecordFile):
    """Only reading features waits: indexes and labels are read before anything is computed."""

    def clip(self, position: int, length: int, with_features: bool = True) -> Clip:
        hold = self.path.with_name(f"{self.path.name}.hold")
        if with_features and hold.exists():
            hold.with_suffix(".held").write_text(f"{os.getpid()}\n")
            while hold.exists():
                time.sleep(0.01)
        return super().clip(position, length, with_features)
