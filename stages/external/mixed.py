"""What a bundle and external models say together, batch by batch."""

from collections.abc import Iterator, Mapping

import torch

from ensemble import mix
from ensemble.blend import Blend
from records import Batch
from runs import Predictions
from stages.external.config import BUNDLE
from stages.packing.scored import Scored


def mixed(
    scored: Scored, blend: Blend, external: Mapping[str, Predictions]
) -> Iterator[tuple[Batch, torch.Tensor]]:
    """The batches with the blend's log-odds (B, V).

    Args:
        scored: the same with those of the bundle.
        blend: the weights.
        external: by name, what the other models say of these clips, in their order.
    """
    weights = [blend.weights[name] for name in (BUNDLE, *external)]
    start = 0
    for batch, log_odds in scored:
        rows = slice(start, start + len(batch.ids))
        others = [own.select(rows).to_dense() for own in external.values()]
        members = torch.stack([log_odds.cpu(), *map(torch.from_numpy, others)])
        yield batch, mix(members, weights, blend.mix)
        start = rows.stop
