"""How weights combine the members' log-odds: the one definition that search and bundle share."""

from collections.abc import Sequence

import numpy as np
import torch

from ensemble.errors import EnsembleError

MODES = ("probability", "log_odds")


def mix(
    log_odds: torch.Tensor, weights: Sequence[float] | torch.Tensor, mode: str = "probability"
) -> torch.Tensor:
    """Mixes the log-odds of members into the log-odds of the ensemble.

    "probability", the winners' way (Skalic & Austin 2018, section 4): the weighted mean p of
    the probabilities, returned as log(p) - log(1 - p). Both p and 1 - p are summed from sigmoids
    of their own, so that scores near 1 stay apart where float32 probabilities would tie.
    "log_odds": the weighted mean of the log-odds themselves.

    Args:
        log_odds: (M, B, V) float, finite; on any device.
        weights: (M,) not negative, their sum 1 (checked to 1e-3 and then made so).
        mode: "probability" or "log_odds".

    Returns:
        (B, V), of the dtype and on the device of `log_odds`.

    Raises:
        EnsembleError: The mode is unknown, or the weights are not of that kind.
    """
    shares = check_weights(torch.as_tensor(weights).double().cpu().numpy()[None], len(log_odds))[0]
    check_mode(mode)
    if mode == "log_odds":
        mixed = torch.zeros_like(log_odds[0])
        for member, share in zip(log_odds, shares.tolist(), strict=True):
            mixed.add_(member, alpha=share)
        return mixed
    yes = torch.zeros_like(log_odds[0])
    no = torch.zeros_like(log_odds[0])
    for member, share in zip(log_odds, shares.tolist(), strict=True):
        yes.add_(torch.sigmoid(member), alpha=share)
        no.add_(torch.sigmoid(-member), alpha=share)
    tiny = torch.finfo(log_odds.dtype).tiny
    return yes.clamp_(min=tiny).log_().sub_(no.clamp_(min=tiny).log_())


def check_mode(mode: str) -> None:
    """Raises EnsembleError for a mode that `mix` does not know."""
    if mode not in MODES:
        raise EnsembleError(f"mix = {mode!r}, but must be one of {', '.join(MODES)}")


def check_weights(weights: np.ndarray, members: int) -> np.ndarray:
    """Weights (W, M) as float64 with rows that sum to 1.

    Raises:
        EnsembleError: A shape is wrong, a weight is negative or not finite, or a sum is not 1.
    """
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] != members:
        raise EnsembleError(f"weights {weights.shape} for {members} members, but (W, M) is wanted")
    sums = weights.sum(axis=1)
    if not np.isfinite(sums).all() or (weights < 0).any() or (abs(sums - 1) > 1e-3).any():
        raise EnsembleError("weights must be finite, not negative, and sum to 1 for each weighting")
    return weights / sums[:, None]
