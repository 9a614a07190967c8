"""Where a run is logged beside its own folder."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from common.codec import Text
from common.errors import ConfigError


@dataclass(frozen=True)
class TrackingConfig:
    """No byte of a result depends on it.

    Attributes:
        to: "mlflow", which `tracking=mlflow` sets; None: nowhere.
        uri: Of MLflow's server or database; None: that of the environment's MLFLOW_TRACKING_URI, or
            else a database in the run's folder.
    """

    to: Literal["mlflow"] | None = None
    uri: Text | None = None

    def __post_init__(self) -> None:
        url = urlsplit(self.uri or "")
        # A token may stand as the user of a server; of a database it is only a name.
        if url.password or (url.username and url.scheme.startswith("http")):
            raise ConfigError(
                "uri: a password or token would be written into the run; give the environment "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_URI"
            )
