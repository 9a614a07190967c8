"""What a training leaves behind."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Trained:
    """What a training leaves behind, on the model's device.

    Attributes:
        main: the weights that the first phase came to.
        average: the averaged weights, if there was a second phase.
        clips: how many it took, each as often as it came.
        seconds: how long it took, without scoring.
        evaluation_seconds: how long it took to score the weights on the way.
        epochs: after which the first phase had its weights.
        stop: the same on the schedule, where the scores decided it.
        steps: that it took.
        planned_steps: that it was to take.
        shortened: whether there was no time for them.
        loss: the last that was logged.
        cpu_load: cores that this process kept busy.
        gpu_load: the share of its time in which the GPU was busy, if there is one.
    """

    main: dict[str, Tensor]
    average: dict[str, Tensor] | None
    clips: int
    seconds: float
    evaluation_seconds: float = 0.0
    epochs: float | None = None
    stop: float | None = None
    steps: int | None = None
    planned_steps: int | None = None
    shortened: bool = False
    loss: float | None = None
    cpu_load: float | None = None
    gpu_load: float | None = None

    @property
    def clips_per_second(self) -> float:
        return self.clips / self.seconds
