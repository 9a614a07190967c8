"""Stage `synthesize`: the demonstration data."""

from pathlib import Path

from common.errors import ConfigError
from common.objects import is_object_url
from records import generate
from runs import JobProgress, ProgressDisplay
from stages.stage import stage
from stages.workspace import Workspace


@stage("synthesize", help="generate the demonstration data set")
def synthesize(workspace: Workspace) -> None:
    """Writes the demonstration data to `data.root`, as far as it is not there.

    Raises:
        ConfigError: the experiment reads data that is not generated.
        records.DataError: the folder holds other shards.
    """
    data = workspace.config.data
    if not data.generated:
        raise ConfigError(
            "data.generated: false, this experiment reads shards of its own; "
            "stage=synthesize is for experiment=demo"
        )
    if data.root is None:
        raise ConfigError("data.root: not set; give the folder to write to, data.root=/path")
    if is_object_url(data.root):
        raise ConfigError(
            "data.root: stage=synthesize writes to a folder; for shards that lie in object "
            "storage set data.generated=false"
        )
    with ProgressDisplay() as display:
        generate(
            Path(data.root),
            data.demo,
            lambda written, of: display.update(
                JobProgress("synthesize", "done" if written == of else "running", written, of)
            ),
        )
