"""Classifier heads: from a video's representation (B, H) to log-odds (B, V), stably."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional

from common.codec import Positive
from families.layers.gating import ContextGating
from families.layers.groups import HEAD, in_group

DEFAULT_L2 = {"logistic": 1e-8, "mixture": 1e-6}


@dataclass(frozen=True)
class HeadConfig:
    """Hyperparameters of a head.

    Attributes:
        kind: "logistic" or "mixture" (of experts).
        experts: M, of a mixture, besides the dummy that always says no.
        probability_gating: whether the labels' probabilities gate one another.
        prior: the probability that an untrained head gives to every label; a low one starts the
            sum of the labels' cross entropies where training would take it first.
        l2: weight of the L2 penalty; None stands for 1e-6 (mixture), 1e-8 (logistic).
    """

    kind: Literal["logistic", "mixture"] = "mixture"
    experts: Positive = 2
    probability_gating: bool = False
    prior: Annotated[float, Gt(0), Le(0.5)] = 0.005
    l2: Annotated[float, Ge(0)] | None = None


LOGISTIC = HeadConfig(kind="logistic")
MIXTURE = HeadConfig()
GATED_MIXTURE = HeadConfig(probability_gating=True)


@in_group(HEAD)
class Head(nn.Module):
    """The head that a `HeadConfig` describes, probability gating included."""

    def __init__(self, config: HeadConfig, size: int, num_labels: int) -> None:
        super().__init__()
        self.size = size
        self.l2 = DEFAULT_L2[config.kind] if config.l2 is None else config.l2
        self.classifier: LogisticHead | MixtureOfExpertsHead
        if config.kind == "logistic":
            self.classifier = LogisticHead(size, num_labels, prior=config.prior)
        else:
            self.classifier = MixtureOfExpertsHead(
                size, num_labels, experts=config.experts, prior=config.prior
            )
        self.gating = ProbabilityGating(num_labels) if config.probability_gating else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to log-odds (B, V), float32."""
        log_odds: Tensor = self.classifier(x)
        return log_odds if self.gating is None else self.gating(log_odds)

    @torch.no_grad()
    def add_penalty_gradient(self) -> None:
        """Adds the gradient of the L2 penalty, l2 / 2 times the sum of the squared weights.

        Called between the backward pass and the optimizer: through autograd the penalty would
        read and write every weight of the head three times more.
        """
        for weight in self.classifier.parameters() if self.l2 > 0 else ():
            if weight.dim() > 1 and weight.grad is not None:
                weight.grad.add_(weight, alpha=self.l2)


class LogisticHead(nn.Module):
    """One linear map; its outputs are the log-odds."""

    def __init__(self, size: int, num_labels: int, *, prior: float) -> None:
        super().__init__()
        self.linear = nn.Linear(size, num_labels)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.constant_(self.linear.bias, _log_odds(prior))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to log-odds (B, V), float32."""
        log_odds: Tensor = self.linear(x)
        return log_odds.float()


class MixtureOfExpertsHead(nn.Module):
    """p = sum over m <= M of softmax(gates)_m * sigmoid(expert_m), with a last, dummy gate.

    Gates are linear without bias, experts with (Abu-El-Haija et al. 2016). The layout of both is
    expert by expert, so that each expert's V values lie side by side.
    """

    def __init__(self, size: int, num_labels: int, *, experts: int, prior: float) -> None:
        super().__init__()
        self.num_experts = experts
        self.num_labels = num_labels
        self.gates = nn.Linear(size, (experts + 1) * num_labels, bias=False)
        self.experts = nn.Linear(size, experts * num_labels)
        nn.init.xavier_uniform_(self.gates.weight)
        nn.init.xavier_uniform_(self.experts.weight)
        # At first the dummy takes its even share of 1 / (M + 1) of the probability.
        nn.init.constant_(
            self.experts.bias, _log_odds(min(prior * (experts + 1) / experts, 1 - prior))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, H) to log-odds (B, V), float32."""
        gates = self.gates(x).float().view(-1, self.num_experts + 1, self.num_labels)
        experts = self.experts(x).float().view(-1, self.num_experts, self.num_labels)
        return mixture_log_odds(gates, experts)


class ProbabilityGating(ContextGating):
    """p * sigmoid(BN(p W)) with W of V x V, in log-odds throughout (Miech et al. 2017)."""

    def forward(self, log_odds: Tensor) -> Tensor:
        """Log-odds (B, V) to log-odds (B, V), float32."""
        return gated_log_odds(log_odds, self.gates(torch.sigmoid(log_odds)).float())


def mixture_log_odds(gates: Tensor, experts: Tensor) -> Tensor:
    """Log-odds of p = sum_m softmax(gates)_m sigmoid(experts_m), the last gate being the dummy.

    With Z the softmax's denominator, Z p = sum_m e^g_m s(e_m) and
    Z (1 - p) = e^g_dummy + sum_m e^g_m s(-e_m): Z cancels, and no probability is ever formed that
    could saturate.

    Args:
        gates: (B, M + 1, V).
        experts: (B, M, V).

    Returns:
        (B, V).
    """
    log_yes = functional.logsigmoid(experts)
    log_no = log_yes - experts
    real = gates[:, :-1]
    yes = torch.logsumexp(real + log_yes, dim=1)
    no = torch.logaddexp(gates[:, -1], torch.logsumexp(real + log_no, dim=1))
    return yes - no


def gated_log_odds(log_odds: Tensor, gates: Tensor) -> Tensor:
    """Log-odds of sigmoid(z) sigmoid(g).

    The odds are 1 / ((1 + e^-z)(1 + e^-g) - 1) = 1 / (e^-z + e^-g + e^(-z-g)).
    """
    either = torch.logaddexp(-log_odds, -gates)
    return -torch.logaddexp(either, -(log_odds + gates))


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))
