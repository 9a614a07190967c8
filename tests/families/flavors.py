"""The small configurations of every family that the contract test builds."""

from __future__ import annotations

from typing import Any

MIXTURE = {"kind": "mixture", "experts": 2, "probability_gating": True}
FLAVORS: dict[str, list[dict[str, Any]]] = {
    "attention": [
        {"heads": 2, "units": 5, "hidden": 12, "head": MIXTURE},
        {"heads": 1, "units": 5, "hidden": 0, "gating": True},
    ],
    "bilstm": [
        {"hidden": 6, "dense": 8},
        {"hidden": 6, "layers": 1, "dense": 8, "gating": True, "head": MIXTURE},
    ],
    "cgc": [{"expert_units": 10, "experts_private": 2, "tower_hidden": [8]}],
    "chain": [
        {"stages": 2, "projection": 6},
        {"stages": 3, "projection": 6, "hidden": 12, "pooling": "moments", "gating": True},
    ],
    "dbof": [
        {"variant": "gated", "clusters": 16, "hidden": 12},
        {"variant": "gated", "clusters": 16, "hidden": 12, "bottleneck": 5, "gating": True},
        {"variant": "soft", "clusters": 16, "hidden": 12},
        {"variant": "original", "clusters": 16, "hidden": 12, "pooling": "max"},
        {"variant": "original", "clusters": 16, "hidden": 12, "pooling": "mean"},
    ],
    "dmrnet": [
        {"depth": 2, "hidden": 12, "mapping": "average", "head": MIXTURE},
        {"depth": 3, "hidden": 12, "mapping": "merge", "gating": True},
    ],
    "logistic": [
        {"input_norm": "none"},
        {"pooling": "moments", "gating": True},
    ],
    "lstm": [
        {"hidden": 8},
        {"hidden": 8, "bidirectional": True, "input_norm": "none", "gating": True, "head": MIXTURE},
    ],
    "mmoe": [
        {"experts": 3, "expert_units": 10, "tower_hidden": [8], "gating": True, "head": MIXTURE},
        {"experts": 3, "expert_units": 10, "task_weights": "uncertainty", "input_norm": "none"},
    ],
    "moe": [
        {"input_norm": "length", "head": {"kind": "mixture", "experts": 3}},
        {"pooling": "moments", "head": MIXTURE},
    ],
    "neighbors": [
        {"clips": 40, "neighbors": 5},
        {"clips": 9, "neighbors": 20, "labels": 2, "stream_weights": {"sound": 0.6}},
    ],
    "netfv": [{"clusters": 5, "hidden": 12, "head": MIXTURE}],
    "netvlad": [
        {"clusters": 6, "hidden": 12, "head": MIXTURE},
        {"clusters": 6, "hidden": 12, "residuals": False, "gating": False},
    ],
    "nextvlad": [
        {"clusters": 6, "groups": 4, "hidden": 16},
        {"clusters": 6, "groups": 3, "hidden": 12, "gating_reduction": 0, "head": MIXTURE},
    ],
    "omoe": [{"experts": 3, "expert_units": 10, "tower_hidden": []}],
    "perceptron": [
        {"hidden": [24], "input_norm": "batch"},
        {"hidden": [24, 24], "norm": "batch", "residual": True, "gating": True, "head": MIXTURE},
        {"hidden": [24], "norm": "layer", "input_norm": "length", "activation": "gelu"},
        {"hidden": [], "input_norm": "none"},
        {"decoder": [14, 16], "hidden": [12]},
    ],
    "ple": [
        {"expert_units": 10, "experts_private": 2, "tower_hidden": [8], "layers": 3},
        {"expert_units": 10, "experts_shared": 1, "layers": 1, "input_norm": "length"},
    ],
    "qrnn": [
        {"hidden": 9},
        {"hidden": 9, "width": 2, "gating": True, "head": MIXTURE},
        {"hidden": 9, "layers": 2},
        {"hidden": 9, "width": 2, "layers": 2, "bidirectional": True},
    ],
    "rnn": [
        {"variant": "stacked", "hidden": 9},
        {"variant": "stacked", "hidden": 9, "cell": "gru", "layers": 1},
        {"variant": "bidirectional", "hidden": 8, "head": MIXTURE},
        {"variant": "bidirectional", "hidden": 8, "cell": "gru", "gating": True},
        {"variant": "dual", "hidden": 10, "cell": "gru"},
        {"variant": "dual", "hidden": 10, "cell": "lstm"},
    ],
    "shared_bottom": [
        {"hidden": [12], "tower_hidden": [10, 8], "task_weights": "uncertainty"},
        {"hidden": [], "tower_hidden": [8]},
    ],
    "snr_aver": [{"units": 10, "tower_hidden": [8], "sparsity": 0.0}],
    "snr_trans": [
        {"units": 10, "tower_hidden": [8], "levels": 2},
        {"units": 10, "task_weights": "uncertainty"},
    ],
    "stream_lstm": [
        {"hidden": 10},
        {"hidden": 10, "bidirectional": False, "gating": True, "head": MIXTURE},
    ],
    "stream_lstm_fc": [{"stream_lstm": {"hidden": 10}, "perceptron": {"hidden": [12]}}],
}
