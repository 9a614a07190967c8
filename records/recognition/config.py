"""What the user says of columns that are to be recognised."""

from dataclasses import dataclass

from common.codec import Text


@dataclass(frozen=True)
class ColumnsConfig:
    """Names of columns; what is not named is recognised.

    Attributes:
        id: The column of the ids.
        labels: That of the labels.
        streams: Those of the features.
    """

    id: Text | None = None
    labels: Text | None = None
    streams: tuple[str, ...] = ()
