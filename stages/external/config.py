"""What is said of another program's model: where its predictions lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.codec import Text
from common.errors import ConfigError

# What the packed models are called beside external ones.
BUNDLE = "bundle"


@dataclass(frozen=True)
class ExternalConfig:
    """Predictions of a model that another program trained, by split.

    Each is a file or several: CSV or Parquet with the columns `VideoId` and
    `LabelConfidencePairs`, or `id`, `label` and `confidence`. There are no weights, so that it is
    not packed.

    Attributes:
        search: where its weight is chosen; with folds, of the clips of `train` and `search`.
        report: where scores are reported.
        test: what stage `predict` blends with those of the bundle.
        labels: what labels are called by there; None: numbers are indices, anything else a name of
            the vocabulary.
    """

    search: Text | tuple[Text, ...]
    report: Text | tuple[Text, ...]
    test: Text | tuple[Text, ...] = ()
    labels: Literal["index", "name"] | None = None

    def files(self, name: str, split: str) -> list[Path]:
        """Those of a split.

        Args:
            name: of the model, for messages.
            split: the split's.

        Raises:
            ConfigError: there are none, or one is no file.
        """
        key = f"external.{name}.{split}"
        given = getattr(self, split) if split in ("search", "report", "test") else None
        if given is None:
            raise ConfigError(f"external: none has predictions of split {split!r}; predict another")
        if not given:
            raise ConfigError(
                f"{key}: not set; give its predictions of the clips, such as {key}=/path/to/{split}"
                ".csv, or leave it out"
            )
        paths = [Path(text) for text in ((given,) if isinstance(given, str) else given)]
        for path in paths:
            if not path.is_file():
                raise ConfigError(f"{key}: no file {path}")
        return paths
