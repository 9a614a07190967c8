"""How a training goes: settings and their bounds."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from annotated_types import Ge, Gt, Le, Lt

from common.codec import Positive

AboveZero = Annotated[float, Gt(0)]
AtLeastZero = Annotated[float, Ge(0)]
AtMostOne = Annotated[float, Gt(0), Le(1)]
Clip = Literal["tensor", "global"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class TrainConfig:
    """How one member is trained; `members.<name>.train` overrides it key by key.

    Defaults are what the models of Skalic & Austin 2018 have in common: Adam at 2e-4, decayed by
    0.8 an epoch's worth of examples, each tensor's gradient clipped to norm 1 (`clip: global` clips
    all together), then at a fifth of the learning rate a moving average that keeps 1 - 1/2000 of
    itself a step. Epochs and batch size differ from model to model there: see
    conf/experiment/skalic2018.yaml. `min_frames` leaves shorter clips out of the training.

    Every `evaluate_every` epochs (null or 0: never) the weights are scored on a fixed sample of
    `search`, spread evenly over it: `evaluate_clips` of them, by default 2,000, but no more than a
    twentieth of what was trained on since. It changes no weight, unless there is `patience`: where
    the GAP of so many epochs is no better than the best before, the first phase ends. Then, and
    also where it takes all its epochs, it comes to the weights that scored best.

    `time_limit` are minutes that a training may take, without the predictions that follow it. One
    that is too slow takes fewer steps, on a schedule that goes through the same learning rates.

    `threads` are those that one training computes with on the CPU. What is computed depends on them
    in the last digits, so they are set here, and do not follow from how many cores there are or how
    many trainings run at once. With 1, as many members as there are cores train at once, which is
    the fastest way to train many; of few members on many cores each may take more.

    `devices` are processes that share one training, each on a GPU or on `threads` of the CPU: every
    batch is cut into so many parts. `micro_batch` is how many clips a device computes at a time
    (null: all it has of a batch); their gradients are added up. See docs/scale.md.
    """

    epochs: AboveZero = 5.0
    max_steps: Positive | None = None
    batch_size: Positive = 128
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: AboveZero = 2e-4
    weight_decay: AtLeastZero = 0.0
    schedule: Literal["exponential", "one_cycle"] = "exponential"
    decay: AtMostOne = 0.8
    warmup: AtMostOne = 0.3
    clip: Clip = "tensor"
    clip_norm: AboveZero = 1.0
    precision: Precision = "auto"
    draw_frames: Positive | None = 300
    first_frames: Positive | None = None
    min_frames: Positive | None = None
    shuffle_frames: bool = False
    averaging_epochs: AtLeastZero = 1.0
    averaging_divisor: AboveZero = 5.0
    averaging_decay: Annotated[float, Gt(0), Lt(1)] = 0.9995
    inference_batch_size: Positive = 256
    evaluate_every: AtLeastZero | None = 1.0
    evaluate_clips: Positive | None = None
    patience: AboveZero | None = None
    time_limit: AboveZero | None = None
    threads: Positive = 1
    devices: Positive = 1
    micro_batch: Positive | None = None
    checkpoint_seconds: AtLeastZero = 120.0

    def __post_init__(self) -> None:
        if self.patience is not None and not self.evaluate_every:
            raise ValueError("patience needs evaluate_every, epochs from one score to the next")
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size: {self.batch_size} clips are not shared evenly by {self.devices} "
                "devices; give a multiple of them"
            )

    @property
    def cores(self) -> int:
        """Those of the CPU that a training keeps busy where there are no GPUs."""
        return self.devices * self.threads
