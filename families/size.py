"""The bytes that a model will take at 8 bits, from its shapes and types alone."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from common.tensors import THRESHOLD

CENTROIDS = 256


def is_large(shape: Sequence[int], threshold: int = THRESHOLD) -> bool:
    """Whether a tensor is quantized: more than `threshold` elements, and no bias or statistic."""
    return len(shape) > 1 and math.prod(shape) > threshold


def tensor_bytes(tensor: Tensor, threshold: int = THRESHOLD) -> int:
    """Bytes of one tensor: a large one's are one a value and a float32 codebook.

    A small one, and one of integers, stays as it is.
    """
    if tensor.is_floating_point() and is_large(tensor.shape, threshold):
        return tensor.numel() + 4 * CENTROIDS
    return tensor.nbytes


def model_bytes(model: nn.Module, threshold: int = THRESHOLD) -> int:
    """Bytes of a model's tensors, on any device, when the large ones take 8 bits.

    Example:
        >>> model_bytes(nn.Linear(1000, 20))
        21104
    """
    return sum(tensor_bytes(tensor, threshold) for tensor in model.state_dict().values())


def parameter_count(model: nn.Module) -> int:
    """How many numbers training moves."""
    return sum(parameter.numel() for parameter in model.parameters())
