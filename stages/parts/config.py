"""How a split that a model or a bundle is run over is cut in parts."""

from dataclasses import dataclass, field

from common.codec import Positive
from runs import ResourceConfig


@dataclass(frozen=True)
class PartsConfig:
    """The parts of a split that is predicted, or that a bundle is scored on.

    Attributes:
        clips: Of a part, rounded up to whole batches. A split that has no more is not cut.
        resources: What the run of a bundle over a part takes of a machine; by default four cores,
            or all where the largest machine has fewer. That of a member's model takes what its
            member says.
    """

    clips: Positive = 1 << 15
    resources: ResourceConfig = field(default_factory=ResourceConfig)
