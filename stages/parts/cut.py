"""Where a split is cut in parts, and where in a run these lie until they are joined."""

import shutil
from contextlib import suppress
from pathlib import Path

PARTS_FOLDER = "parts"


def cut(clips: int, least: int, batch: int) -> list[tuple[int, int]]:
    """Numbers of the first clip of each part and after its last, in the order of the split.

    Parts are of whole batches: so each is computed in the batches of the whole split, to the same
    digits, and what is joined of them has the same bytes.

    Args:
        clips: of the split.
        least: of a part but the last.
        batch: clips of a batch.
    """
    own = -(-least // batch) * batch
    return [(start, min(start + own, clips)) for start in range(0, clips, own)]


def remove_parts(root: Path, folder: str) -> None:
    """Removes the parts in a folder of a run, and the folders that are empty without them."""
    shutil.rmtree(root / folder, ignore_errors=True)
    with suppress(OSError):
        for parent in Path(folder).parents[:-1]:
            (root / parent).rmdir()
