"""Models of which some stand on others' last hidden layers."""

from collections.abc import Mapping

from torch import Tensor

from families.base import HIDDEN, FamilyModule, Features


def all_scores(
    models: Mapping[str, FamilyModule], features: Features, mask: Tensor | None
) -> list[Tensor]:
    """The log-odds (B, V) of models by name, in their order, each model computed once.

    Args:
        models: with the hosts of all that have one.
        features: as in `FamilyModule.forward`.
        mask: as in `FamilyModule.forward`.
    """
    hosts = {model.host for model in models.values()}
    scores: dict[str, Tensor] = {}
    hidden: dict[str, Tensor] = {}
    for name, model in models.items():
        if name in hosts:
            scores[name], hidden[name] = model.with_hidden(features, mask)
        elif model.host is None:
            scores[name] = model(features, mask)
    for name, model in models.items():
        if model.host is not None:
            scores[name] = model({HIDDEN: hidden[model.host]})
    return [scores[name] for name in models]
