"""Weights that were chosen against the flat mean of all, on clips that nothing was chosen on.

    python -m benchmarks.selection outputs/yt8m_video outputs/audioset
    python -m benchmarks.selection outputs/yt8m_video --clips 750 5000 20000
    python -m benchmarks.selection                        # on made-up scores

Members are the students of a run at uniform8, on all clips that these were measured on. A fifth of
them, by a hash of the id, is put aside: weights are chosen on others and scored there; and so with
the next fifth, five times. The rival is AutoGluon's greedy ensemble selection, on dense
probabilities of the same clips. It is there after `pip install -e '.[autogluon]'`, in an
environment of its own, since it needs an older pandas; otherwise its row is missing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.selection.comparison import RANGES, markdown, measure
from benchmarks.selection.evidence import Evidence, made_up, of_run
from common.errors import UserError

CLIPS = (750, 5000)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection")
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN_FOLDER")
    parser.add_argument(
        "--clips", nargs="+", type=int, default=CLIPS, help="how many to choose on at most"
    )
    settings = parser.parse_args(arguments)
    try:
        for run in settings.runs:
            compare(str(run), of_run(run), settings.clips)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if not settings.runs:
        compare("made-up scores", made_up(), settings.clips)
    return 0


def compare(name: str, evidence: Evidence, sizes: Sequence[int]) -> None:
    """Prints a table for each number of clips; of those that are more than there are, the first."""
    for clips in sorted(sizes):
        table = measure(evidence, clips)
        chosen, unseen = (round(table[column].mean()) for column in ("chosen", "unseen"))
        print(
            f"\n{name}: {len(evidence.members)} members, weights chosen on {chosen:,} clips. GAP "
            f"of the flat mean on {RANGES} times {unseen:,} others, and what is gained over it\n"
        )
        print(markdown(table), flush=True)
        if chosen < clips:
            break


if __name__ == "__main__":
    sys.exit(main())
