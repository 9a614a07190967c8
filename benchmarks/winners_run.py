"""What the winners' run takes on today's machines, counted: `python -m benchmarks.winners_run`.

Multiplications and additions of every member at full size are counted from shapes, without values.
Times follow from those, from a rate of a GPU that is assumed, and from what was measured of the
reader; `docs/scale.md` has the formula. Nothing of this was run.
"""

from dataclasses import dataclass

import pandas as pd
import torch
import yaml
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import print_table
from benchmarks.training_memory import EXPERIMENT, FRAMES, LABELS_A_CLIP
from families import FamilyModule, build
from records import Schema, load_schema
from training.objective import cross_entropy

# Of 2018's partitions: clips that are trained on, those that are held out, the test partition.
TRAINED, HELD_OUT, TEST = 4_770_000, 232_000, 1_130_000
SECONDS_A_CLIP = 230  # frames, one a second
BYTES_A_CLIP = SECONDS_A_CLIP * (1024 + 128)
CLIPS = 8


@dataclass(frozen=True)
class Cluster:
    """Machines that trainings are placed on, one on each GPU.

    Attributes:
        gpus: how many there are, in all.
        flops: a second, that a GPU is assumed to come to: a third of an H100's 989 TFLOP/s.
        decoded: clips a second, by a GPU's share of the cores: 4 readers, as measured on one core.
        read: bytes a second for each GPU, as local NVMe is sold.
    """

    gpus: int
    flops: float = 330e12
    decoded: float = 4 * 16_300.0
    read: float = 7e9

    def hours(self, flops: float, clips: float) -> float:
        """Of one GPU for that many operations on that many clips, whichever takes longer."""
        reading = max(clips / self.decoded, clips * BYTES_A_CLIP / self.read)
        return max(flops / self.flops, reading) / 3600


CLUSTERS = {"1 GPU": Cluster(1), "8 GPUs": Cluster(8), "32 nodes of 8": Cluster(256)}


def measure() -> tuple[pd.DataFrame, pd.DataFrame]:
    """By member what it costs; by stage the hours on some machines."""
    schema, rows = load_schema("yt8m_frame"), {}
    settings = yaml.safe_load(EXPERIMENT.read_text())
    for name, member in settings["members"].items():
        with FakeTensorMode():
            model = build(member["family"], member["config"], schema).train()
            forward, whole = (count / CLIPS for count in counted(model, schema))
        epochs = member.get("train", {}).get("epochs", settings["train"]["epochs"])
        seen = epochs * TRAINED
        rows[name] = {
            "GFLOP forward": forward / 1e9,
            "GFLOP a clip trained": whole / 1e9,
            "epochs": epochs,
            "TB read": seen * BYTES_A_CLIP / 1e12,
            "hours on a GPU": CLUSTERS["1 GPU"].hours(whole * seen, seen),
            "of predicting train": CLUSTERS["1 GPU"].hours(forward * TRAINED, TRAINED),
        }
    members = pd.DataFrame(rows).T
    return members, stages(members)


def counted(model: FamilyModule, schema: Schema) -> tuple[float, float]:
    """Floating point operations of a batch: forward, and with the backward pass."""
    features = {stream.name: torch.empty(CLIPS, FRAMES, stream.size) for stream in schema.streams}
    cells = torch.empty(LABELS_A_CLIP * CLIPS, dtype=torch.int64)
    ones = torch.empty(len(cells))
    recurrent = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    with FlopCounterMode(display=False) as counter:
        outputs = model.training_outputs(features, None)
        losses = [model.total_loss(cross_entropy(z, cells, cells, ones)) for _, z in outputs]
        forward = counter.get_total_flops()
        torch.stack(losses).sum().backward()
        whole = counter.get_total_flops()
    # What torch's own kernels of recurrent layers do is not counted: a multiplication and an
    # addition for each weight and frame, and twice that on the way back.
    weights = sum(own.numel() for layer in recurrent for own in layer.parameters())
    hidden = 2.0 * weights * FRAMES * CLIPS
    return forward + hidden, whole + 3 * hidden


def stages(members: pd.DataFrame) -> pd.DataFrame:
    """Hours from the first task to the last of a stage; trainings are not divided over GPUs."""
    training, predicting = members["hours on a GPU"], members["of predicting train"]
    once_again = training[[name for name in training.index if name.startswith("NetVLAD")]]
    work = {
        "teachers": [training],
        "soft targets": [predicting],
        "students, level 1": [training],
        "soft targets, level 2": [predicting[once_again.index]],
        "students, level 2": [once_again],
    }
    return pd.DataFrame(
        {
            machines: {
                stage: sum(placed(hours.tolist(), cluster.gpus) for hours in parts)
                for stage, parts in work.items()
            }
            for machines, cluster in CLUSTERS.items()
        }
    )


def placed(hours: list[float], gpus: int) -> float:
    """When the last of some tasks is done, the longest begun first, each on one GPU."""
    busy = [0.0] * min(gpus, len(hours))
    for own in sorted(hours, reverse=True):
        busy[busy.index(min(busy))] += own
    return max(busy)


if __name__ == "__main__":
    by_member, by_stage = measure()
    print_table("the winners' members, counted", by_member)
    print_table("hours by stage, assumed rates", by_stage)
