"""Multi-task learning: a task a vertical, a tower a task, and how the tasks' losses add up."""

from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from common.codec import Positive, Share
from common.problems import quoted
from families.base import FamilyModule, Features
from families.errors import FamilyError
from families.layers.classifier import Classifier
from families.layers.experts import grouped_layers
from families.layers.inputs import JoinedMeans, MeansConfig
from records.schema import Schema

# The labels of every task.
Tasks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class MultiTaskConfig(MeansConfig):
    """Hyperparameters that all multi-task families have.

    Attributes:
        tower_hidden: units of every hidden layer of a tower; none leaves the heads alone.
        task_weights: "even", or "uncertainty" (see `UncertaintyWeights`).
    """

    dropout: Share = 0.3
    tower_hidden: tuple[Positive, ...] = (256,)
    task_weights: Literal["even", "uncertainty"] = "even"


def tasks_of(schema: Schema) -> Tasks:
    """The labels of every task: a label belongs to its first vertical, or to the last task.

    Verticals without labels are no tasks, and neither is the last one without labels.

    Raises:
        FamilyError: the schema has no verticals.
    """
    if not schema.vertical_names:
        raise FamilyError(
            f"schema {quoted(schema.name)} has no verticals, and these are the tasks: give "
            "data.vocabulary= (a table in data.root with a column Vertical1), or verticals in the "
            "schema's file"
        )
    without = len(schema.vertical_names)
    labels: list[list[int]] = [[] for _ in range(without + 1)]
    for label, verticals in enumerate(schema.label_verticals):
        labels[verticals[0] if verticals else without].append(label)
    return tuple(tuple(task) for task in labels if task)


class Towers(nn.Module):
    """A tower a task: hidden layers, then a head for the task's labels."""

    positions: Tensor

    def __init__(self, tasks: Tasks, size: int, config: MultiTaskConfig) -> None:
        super().__init__()
        sizes = [size, *config.tower_hidden]
        self.hidden = grouped_layers(len(tasks), sizes, dropout=config.dropout)
        # Every hidden layer has its own dropout already.
        self.classifiers = nn.ModuleList(
            Classifier(sizes[-1], len(labels), head=config.head, gating=config.gating)
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
    """

    task_of: Tensor

    def __init__(self, tasks: Tasks) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(len(tasks)))
        task_of = torch.zeros(sum(map(len, tasks)), dtype=torch.int64, device="cpu")
        for task, labels in enumerate(tasks):
            task_of[list(labels)] = task
        self.register_buffer("task_of", task_of, persistent=False)

    def forward(self, label_losses: Tensor) -> Tensor:
        """Losses of the labels (V,) to what training minimizes, a scalar."""
        tasks = torch.arange(len(self.log_variances), device=label_losses.device)
        # Made anew each time: a table of tasks and labels, which files may claim to have many of,
        # must not be built with the module. Not as a matrix product: autocast would round the
        # losses to bfloat16.
        members = (self.task_of == tasks[:, None]).to(self.log_variances.dtype)
        losses = (members * label_losses).sum(dim=1)
        return (torch.exp(-self.log_variances) * losses + self.log_variances / 2).sum()


class MultiTask(FamilyModule):
    """Joined means, what the subclass makes of them for every task, a tower a task.

    The schema's verticals are the tasks. Subclasses define `representations`, each of `size`
    values; None stands for the size of the joined means.
    """

    def __init__(self, config: MultiTaskConfig, schema: Schema, size: int | None) -> None:
        super().__init__(config, schema)
        self.tasks = tasks_of(schema)
        self.inputs = JoinedMeans(self.streams, config.input_norm, dropout=config.input_dropout)
        self.towers = Towers(self.tasks, self.inputs.size if size is None else size, config)
        self.task_weights: UncertaintyWeights | None = None
        if config.task_weights == "uncertainty":
            self.task_weights = UncertaintyWeights(self.tasks)

    def representations(self, x: Tensor) -> Tensor:
        """Joined means (B, D) to every task's representation (tasks, B, H)."""
        raise NotImplementedError

    def forward(self, features: Features, mask: Tensor | None = None) -> Tensor:
        return self.towers(self.representations(self.inputs(self.means(features, mask))))

    def total_loss(self, label_losses: Tensor) -> Tensor:
        if self.task_weights is None:
            return super().total_loss(label_losses)
        return self.task_weights(label_losses)
