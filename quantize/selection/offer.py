"""Which recipes of a member are worth searching among."""

from collections.abc import Mapping

from quantize.precision import UNIFORM8


def worth_offering(scores: Mapping[str, float], stored: Mapping[str, int]) -> list[str]:
    """The recipes that no other one beats, and `uniform8`, which the baseline needs.

    One that scores no less in no more bytes beats another; of equals the first is kept. What a
    member loses alone at few bits, a mean with others hardly does: so the smaller of two is never
    dropped for what it loses, only the larger where it gains nothing. In the demonstration half of
    the recipes go, and what was chosen on one half of the clips scores the same on the other.

    Args:
        scores: GAP on `search` by recipe, of the member alone.
        stored: Bytes by recipe.
    """
    kept: list[str] = []
    # From small to large, of equal sizes the best first: what gains over all before it stays.
    for recipe in sorted(scores, key=lambda recipe: (stored[recipe], -scores[recipe])):
        if not kept or scores[recipe] > scores[kept[-1]]:
            kept.append(recipe)
    return [recipe for recipe in scores if recipe in (UNIFORM8, *kept)]
