"""Multi-task learning: a task a vertical, a tower a task, and how the tasks' losses add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from common.codec import Positive, Share
from families.base import FamilyModule
from families.errors import FamilyError
from families.layers.classifier import Classifier
from families.layers.experts import GroupedHidden
from families.layers.heads import HeadConfig
from families.layers.inputs import InputNorm, JoinedMeans
from records.schema import Schema

Tasks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class MultiTaskConfig:
    """Hyperparameters that all multi-task families have.

    Attributes:
        input_norm: of each stream's mean: "none", "batch" (standardized) or "length" (L2).
        input_dropout: of the inputs.
        dropout: behind every hidden layer, shared or of a tower.
        tower_hidden: units of every hidden layer of a tower; none leaves the heads alone.
        gating: context gating of every tower's last hidden layer.
        task_weights: "even", or "uncertainty" (see `UncertaintyWeights`).
        head: the classifier of every tower.
    """

    input_norm: InputNorm = "batch"
    input_dropout: Share = 0.0
    dropout: Share = 0.3
    tower_hidden: tuple[Positive, ...] = (256,)
    gating: bool = False
    task_weights: Literal["even", "uncertainty"] = "even"
    head: HeadConfig = field(default_factory=lambda: HeadConfig(kind="logistic"))


def tasks_of(schema: Schema) -> Tasks:
    """The labels of every task: a label belongs to its first vertical, or to the last task.

    Verticals without labels are no tasks, and neither is the last one without labels.

    Raises:
        FamilyError: the schema has no verticals.
    """
    if not schema.vertical_names:
        raise FamilyError(
            f"schema {schema.name!r} has no verticals, and these are the tasks: give "
            "data.vocabulary= (a table in data.root with a column Vertical1), or verticals in the "
            "schema's file"
        )
    without = len(schema.vertical_names)
    labels: list[list[int]] = [[] for _ in range(without + 1)]
    for label, verticals in enumerate(schema.label_verticals):
        labels[verticals[0] if verticals else without].append(label)
    return tuple(tuple(task) for task in labels if task)


class Towers(nn.Module):
    """A tower a task: hidden layers, then a head for the task's labels.

    Args:
        tasks: the labels of every task.
        size: H, of every task's representation.
        config: the towers' sizes.
    """

    positions: Tensor

    def __init__(self, tasks: Tasks, size: int, config: MultiTaskConfig) -> None:
        super().__init__()
        sizes = [size, *config.tower_hidden]
        self.hidden = nn.Sequential(
            *(GroupedHidden(len(tasks), *pair, dropout=config.dropout) for pair in pairwise(sizes))
        )
        self.classifiers = nn.ModuleList(
            Classifier(
                sizes[-1],
                len(labels),
                head=config.head,
                gating=config.gating,
                # Every hidden layer has its own dropout already.
                dropout=0.0,
            )
            for labels in tasks
        )
        by_task = list(chain.from_iterable(tasks))
        positions = sorted(range(len(by_task)), key=by_task.__getitem__)
        # Known from the schema, hence never on the meta device: no weights file brings it later.
        order = torch.tensor(positions, device="cpu")
        self.register_buffer("positions", order, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Representations (tasks, B, H) to log-odds (B, V), label by label, float32."""
        x = self.hidden(x)
        by_task = [classifier(x[task]) for task, classifier in enumerate(self.classifiers)]
        return torch.cat(by_task, dim=1).index_select(1, self.positions)


class UncertaintyWeights(nn.Module):
    """sum over tasks t of exp(-s_t) L_t + s_t / 2, with learned s_t (Kendall et al. 2018).

    s is the logarithm of a variance. Where s_t is best, exp(-s_t) L_t is 1/2: there every task
    weighs the same, however many labels it has and however rare they are. L_t is the sum of the
    losses of the task's labels.

    Args:
        tasks: the labels of every task.
    """

    members: Tensor

    def __init__(self, tasks: Tasks) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(len(tasks)))
        members = torch.zeros(len(tasks), sum(map(len, tasks)), device="cpu")
        for task, labels in enumerate(tasks):
            members[task, list(labels)] = 1.0
        self.register_buffer("members", members, persistent=False)

    def forward(self, label_losses: Tensor) -> Tensor:
        """Losses of the labels (V,) to what training minimizes, a scalar."""
        # Not as a matrix product: autocast would round the losses to bfloat16.
        losses = (self.members * label_losses).sum(dim=1)
        return (torch.exp(-self.log_variances) * losses + self.log_variances / 2).sum()


class MultiTask(FamilyModule):
    """Joined means, what the subclass makes of them for every task, a tower a task.

    Subclasses define `representations`.

    Args:
        config: of the subclass.
        schema: its verticals are the tasks.
        size: H, of every task's representation; None for that of the joined means.
    """

    def __init__(self, config: MultiTaskConfig, schema: Schema, size: int | None) -> None:
        super().__init__(config, schema)
        self.tasks = tasks_of(schema)
        self.inputs = JoinedMeans(
            self.streams, norm=config.input_norm, dropout=config.input_dropout
        )
        self.towers = Towers(self.tasks, self.inputs.size if size is None else size, config)
        self.task_weights: UncertaintyWeights | None = None
        if config.task_weights == "uncertainty":
            self.task_weights = UncertaintyWeights(self.tasks)

    def representations(self, x: Tensor) -> Tensor:
        """Joined means (B, D) to every task's representation (tasks, B, H)."""
        raise NotImplementedError

    def forward(self, features: Mapping[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """See `FamilyModule.forward`."""
        x = self.inputs(self.means(features, mask))
        return self.towers(self.representations(x))

    def total_loss(self, label_losses: Tensor) -> Tensor:
        """See `FamilyModule.total_loss`; weighed by task if so configured."""
        if self.task_weights is None:
            return super().total_loss(label_losses)
        return self.task_weights(label_losses)
