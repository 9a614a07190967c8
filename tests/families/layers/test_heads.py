"""Heads: log-odds against the probabilities of the papers, and where those saturate."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import families
from families import FamilyError, Head, HeadConfig
from families.layers.heads import ProbabilityGating, gated_log_odds, mixture_log_odds
from families.linear import MoEConfig
from records.schema import Schema


def naive_mixture(gates: Tensor, experts: Tensor) -> Tensor:
    """The winners' formula, in float64 probabilities."""
    shares = torch.softmax(gates.double(), dim=1)[:, :-1]
    p = (shares * torch.sigmoid(experts.double())).sum(dim=1)
    return torch.log(p / (1 - p))


def exact_sigmoid(x: float) -> Decimal:
    return 1 / (1 + (-Decimal(x)).exp())


def exact_mixture(gates: list[float], experts: list[float]) -> float:
    """The same with 200 digits, for one label."""
    with localcontext() as context:
        context.prec = 200
        weights = [Decimal(gate).exp() for gate in gates]
        p = sum(
            (w * exact_sigmoid(e) for w, e in zip(weights[:-1], experts, strict=True)), Decimal(0)
        ) / sum(weights)
        return float((p / (1 - p)).ln())


@given(
    experts=st.integers(1, 4),
    spread=st.floats(0.1, 4),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=30)
def test_mixture_equals_the_naive_formula(experts: int, spread: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    gates = spread * torch.randn(3, experts + 1, 5, generator=generator)
    outputs = spread * torch.randn(3, experts, 5, generator=generator)
    torch.testing.assert_close(
        mixture_log_odds(gates, outputs).double(),
        naive_mixture(gates, outputs),
        atol=1e-4,
        rtol=1e-4,
    )


@given(
    gates=st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3),
    experts=st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=2),
)
@settings(deadline=None, max_examples=100)
def test_mixture_is_exact_where_probabilities_saturate(
    gates: list[float], experts: list[float]
) -> None:
    value = mixture_log_odds(
        torch.tensor(gates)[None, :, None], torch.tensor(experts)[None, :, None]
    )
    assert value.item() == pytest.approx(exact_mixture(gates, experts), abs=1e-4, rel=1e-5)


@given(z=st.floats(-100, 100, width=32), g=st.floats(-100, 100, width=32))
@settings(deadline=None, max_examples=100)
def test_gated_log_odds_are_exact_where_probabilities_saturate(z: float, g: float) -> None:
    with localcontext() as context:
        context.prec = 200
        p = exact_sigmoid(z) * exact_sigmoid(g)
        expected = float((p / (1 - p)).ln())
    value = gated_log_odds(torch.tensor(z), torch.tensor(g))
    assert value.item() == pytest.approx(expected, abs=1e-4, rel=1e-5)


def test_confident_experts_do_not_tie() -> None:
    experts = torch.linspace(20, 100, 81)[None, None].repeat(1, 2, 1)
    gates = torch.zeros(1, 3, 81)
    gates[:, -1] = -200
    assert (mixture_log_odds(gates, experts).diff() > 0).all()
    assert (gated_log_odds(experts[:, 0], torch.full((1, 81), 300.0)).diff() > 0).all()


@pytest.mark.parametrize("extreme", [100.0, -100.0])
def test_gradients_are_finite_at_extreme_logits(extreme: float) -> None:
    gates = torch.tensor([[[extreme], [-extreme], [extreme]]], requires_grad=True)
    experts = torch.tensor([[[extreme], [-extreme]]], requires_grad=True)
    gated_log_odds(mixture_log_odds(gates, experts), gates[:, 0]).sum().backward()
    assert gates.grad is not None and gates.grad.isfinite().all()
    assert experts.grad is not None and experts.grad.isfinite().all()


def test_mixture_gradient() -> None:
    torch.manual_seed(0)
    gates = torch.randn(2, 3, 4, dtype=torch.double, requires_grad=True)
    experts = torch.randn(2, 2, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(mixture_log_odds, (gates, experts))


def test_probability_gating_multiplies_probabilities() -> None:
    torch.manual_seed(0)
    gating = ProbabilityGating(6).eval()
    gating.norm.running_mean.normal_()
    gating.norm.running_var.uniform_(0.5, 2)
    log_odds = torch.randn(4, 6)
    p = torch.sigmoid(log_odds.double())
    norm = torch.nn.BatchNorm1d(6, eps=1e-3).double().eval()
    norm.running_mean, norm.running_var = (
        gating.norm.running_mean.double(),
        gating.norm.running_var.double(),
    )
    gated = p * torch.sigmoid(norm(p @ gating.weight.double().T))
    torch.testing.assert_close(
        torch.sigmoid(gating(log_odds).double()), gated, atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["logistic", "mixture"])
def test_an_untrained_head_gives_every_label_the_prior(kind: str) -> None:
    head = Head(HeadConfig(kind=kind, experts=3, prior=0.01), 5, 4)  # type: ignore[arg-type]
    torch.testing.assert_close(torch.sigmoid(head(torch.zeros(2, 5))), torch.full((2, 4), 0.01))


@pytest.mark.parametrize(
    ("config", "l2"),
    [
        (HeadConfig(kind="logistic"), 1e-8),
        (HeadConfig(kind="mixture"), 1e-6),
        (HeadConfig(kind="mixture", l2=0.5), 0.5),
        (HeadConfig(kind="mixture", l2=0.0), 0.0),
        (HeadConfig(kind="mixture", probability_gating=True), 1e-6),
    ],
)
def test_penalty_gradient_is_that_of_half_the_squares(config: HeadConfig, l2: float) -> None:
    head = Head(config, 5, 4)
    for parameter in head.parameters():
        parameter.grad = torch.zeros_like(parameter)
    head.add_penalty_gradient()
    for name, parameter in head.named_parameters():
        penalized = name.startswith("classifier.") and name.endswith("weight")
        copy = parameter.detach().clone().requires_grad_()
        (copy.square().sum() * (l2 / 2 if penalized else 0.0)).backward()
        torch.testing.assert_close(parameter.grad, copy.grad)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"experts": 0}, "experts: must be at least 1, not 0"),
        ({"prior": 0.0}, "prior: must be above 0, not 0.0"),
        ({"l2": -1.0}, "l2: must be at least 0, not -1.0"),
    ],
)
def test_impossible_values_are_refused(
    values: dict[str, Any], message: str, schema: Schema
) -> None:
    for config in ({"head": values}, MoEConfig(head=HeadConfig(**values))):
        with pytest.raises(FamilyError, match=rf"moe\.head\.{message}"):
            families.build("moe", config, schema)
