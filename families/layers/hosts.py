"""Models of which some stand on others' last hidden layers."""

from collections.abc import Callable, Mapping

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
    hosts = {name: model.host for name, model in models.items()}
    return scores_in_turn(hosts, models.__getitem__, features, mask)


def scores_in_turn(
    hosts: Mapping[str, str | None],
    model_of: Callable[[str], FamilyModule],
    features: Features,
    mask: Tensor | None,
) -> list[Tensor]:
    """The same of models that need not be there before it is their turn.

    Args:
        hosts: by model, the one that it stands on, which is among them, or None.
        model_of: gives a model by its name; it is asked for each once, and for none before the
            one in front of it is done with.
        features: as in `FamilyModule.forward`.
        mask: as in `FamilyModule.forward`.

    Returns:
        In the order of `hosts`.
    """
    scores: dict[str, Tensor] = {}
    hidden: dict[str, Tensor] = {}
    for name in hosts:
        if name in hosts.values():
            scores[name], hidden[name] = model_of(name).with_hidden(features, mask)
        elif hosts[name] is None:
            scores[name] = model_of(name)(features, mask)
    for name, host in hosts.items():
        if host is not None:
            scores[name] = model_of(name)({HIDDEN: hidden[host]})
    return [scores[name] for name in hosts]
