"""Members and a training to begin with, for data of a level and a size that nobody has tuned."""

from __future__ import annotations

from typing import Any

from records.schema import Level
from stages.members import MemberConfig
from training.config import TrainConfig

# Up to so many clips: hidden units, and epochs of a training.
_SIZES = ((2_000, 128, 30.0), (20_000, 512, 20.0), (200_000, 1024, 12.0))
_LARGEST = (1024, 6.0)
_BATCHES = 16, 512
# An epoch has about so many steps where batches may be small enough.
_STEPS = 40
_PRIORS = 1e-4, 0.5


def starting_members(
    level: Level, clips: int, labels_a_clip: float, num_labels: int
) -> dict[str, MemberConfig]:
    """Three members that differ: on means of nets and norms, on frames of how frames are pooled.

    Args:
        level: of the data.
        clips: that there are to train on.
        labels_a_clip: how many labels a clip has on average.
        num_labels: V.
    """
    hidden, _ = _size(clips)
    prior = min(max(labels_a_clip / num_labels, _PRIORS[0]), _PRIORS[1])
    shared: dict[str, Any] = {
        "dropout": 0.3,
        "head": {"kind": "logistic", "prior": float(f"{prior:.2g}")},
    }
    if level == "frame":
        return {
            "attended": MemberConfig("attention", {"heads": 4, "hidden": hidden, **shared}),
            "bag": MemberConfig(
                "dbof", {"variant": "original", "clusters": 2 * hidden, "hidden": hidden, **shared}
            ),
            "grouped": MemberConfig(
                "nextvlad", {"clusters": 32, "groups": 4, "hidden": hidden, **shared}
            ),
        }
    layers = {"hidden": [hidden, hidden], "norm": "layer", "residual": True, **shared}
    return {
        "length": MemberConfig(
            "perceptron", {**layers, "input_norm": "length", "activation": "gelu"}
        ),
        "gated": MemberConfig(
            "perceptron", {**layers, "input_norm": "batch", "activation": "gelu", "gating": True}
        ),
        "wide": MemberConfig("perceptron", {**layers, "hidden": [2 * hidden, 2 * hidden]}),
    }


def starting_training(clips: int) -> TrainConfig:
    """AdamW on one cycle of the learning rate; fewer clips make more epochs of smaller batches."""
    batch = 1 << max(1, clips // _STEPS).bit_length()
    return TrainConfig(
        epochs=_size(clips)[1],
        batch_size=min(max(batch, _BATCHES[0]), _BATCHES[1]),
        optimizer="adamw",
        learning_rate=1.5e-3,
        weight_decay=0.05,
        schedule="one_cycle",
        warmup=0.1,
        clip="global",
        averaging_epochs=0.0,
    )


def _size(clips: int) -> tuple[int, float]:
    """Hidden units, and epochs."""
    found = next((rest for most, *rest in _SIZES if clips <= most), _LARGEST)
    return int(found[0]), float(found[1])
