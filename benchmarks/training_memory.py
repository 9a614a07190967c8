"""The memory of trainings, counted without any: `python -m benchmarks.training_memory`.

The winners' models at full size, on clips of 300 frames. What a step saves for its backward pass is
added up over tensors that have shapes and no values. What the backward pass needs for itself, some
of the largest tensors at a time, is not counted; a tenth of the device is left to it, and to CUDA.
"""

from pathlib import Path

import pandas as pd
import torch
import yaml
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.harness import print_table
from families import FamilyModule, build
from families.size import parameter_count
from records import Schema, load_schema
from training.objective import cross_entropy

EXPERIMENT = Path(__file__).parent.parent / "conf" / "experiment" / "skalic2018.yaml"
FRAMES, LABELS_A_CLIP = 300, 3
GIGABYTES = (16, 40, 80)
USABLE = 0.9
# A value, its gradient, Adam's two moments; while weights are averaged, their average, and what the
# first phase came to.
FIRST_PHASE, SECOND_PHASE = 4 * 4, 6 * 4


def measure() -> pd.DataFrame:
    """By member: parameters, bytes of its state, of a clip, and clips that a device can hold."""
    schema, rows = load_schema("yt8m_frame"), {}
    for name, member in yaml.safe_load(EXPERIMENT.read_text())["members"].items():
        with FakeTensorMode():
            model = build(member["family"], member["config"], schema).train()
            few, more = (saved_bytes(model, schema, clips) for clips in (8, 16))
        clip, parameters = (more - few) / 8, parameter_count(model)
        fixed = SECOND_PHASE * parameters + few - 8 * clip
        rows[name] = {
            "parameters": parameters,
            "first phase, GB": FIRST_PHASE * parameters / 1e9,
            "second phase, GB": SECOND_PHASE * parameters / 1e9,
            "a clip, MB": clip / 1e6,
            **{f"clips in {size} GB": fitting(size, fixed, clip) for size in GIGABYTES},
        }
    return pd.DataFrame(rows).T


def fitting(gigabytes: int, fixed: float, clip: float) -> int:
    """How many clips a device holds beside what does not depend on them."""
    return max(0, int((USABLE * gigabytes * 1e9 - fixed) / clip))


def saved_bytes(model: FamilyModule, schema: Schema, clips: int) -> int:
    """Of a batch, and of what its loss keeps for the backward pass, in bfloat16 where it may."""
    own = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    features = {
        stream.name: keep(torch.empty(clips, FRAMES, stream.size)) for stream in schema.streams
    }
    cells = torch.empty(LABELS_A_CLIP * clips, dtype=torch.int64)
    ones = torch.empty(len(cells))
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, torch.autocast("cpu", torch.bfloat16):
        outputs = model.training_outputs(features, None)
        losses = [model.total_loss(cross_entropy(z, cells, cells, ones)) for _, z in outputs]
    assert all(loss.requires_grad for loss in losses)
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in own)


if __name__ == "__main__":
    print_table("training, counted", measure())
