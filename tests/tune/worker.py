"""A process that works on a study, without trainings: `python worker.py URL FOLDER NAME SECONDS`.

It writes into FOLDER a line for each trial that it begins, so that it can be killed in one.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tune.config import TuneConfig
from tune.space import Range
from tune.storage import Heartbeats, StudyStorage
from tune.study import MemberStudy, StudySetting

TRIALS = 8


def main(url: str, folder: Path, name: str, seconds: float) -> None:
    storage = StudyStorage(folder, url, 1)
    setting = StudySetting("shared", {"config.x": Range(0.0, 1.0)}, {}, 0, name)
    with Heartbeats(storage) as heartbeats, (folder / name).open("a", buffering=1) as begun:
        study = MemberStudy(storage, setting, TuneConfig(trials=TRIALS), heartbeats, lambda _: None)
        waiting = study.begun_before()
        while not study.is_complete():
            asked = waiting.pop() if waiting else study.ask()
            if asked is None:
                time.sleep(0.2)
                continue
            print(asked.number, asked.values["config.x"], file=begun)
            time.sleep(seconds)
            study.tell(asked.number, [asked.values["config.x"]])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
