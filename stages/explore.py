"""Stage `explore`: the data as it is, before any training."""

from dataclasses import dataclass
from pathlib import Path

from records.statistics.survey import Survey, take_survey
from runs import track
from stages.stage import stage
from stages.workspace import Workspace


@dataclass(frozen=True)
class Explored:
    """What stage `explore` found: the run's folder and name, and the survey of its data."""

    folder: Path
    run: str
    survey: Survey


@stage("explore", help="show the data before any training: write explore.html")
def explore(workspace: Workspace) -> Explored:
    """Surveys all splits of the run's data, in one pass over them.

    What a training would refuse is shown as well: ids that are in two splits, clips without labels.

    Raises:
        DataError: the splits or a record of theirs cannot be read.
    """
    source = workspace.source
    # Without any split, opening one says which key to set.
    splits = [source.open(name) for name in source.splits or ("train",)]
    for split in splits:
        split.say_skipped()
    survey = take_survey(splits, lambda clips, count: track(clips, "explore", count))
    return Explored(workspace.run.root, workspace.config.run, survey)
