"""Codes of single tensors in a file, so that what was measured is what is packed."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from common.files import atomic_path
from quantize.precision import CODEBOOK, Codes


def save_codes(path: Path, codes: Mapping[tuple[str, str], Codes]) -> None:
    """Writes codes by tensor and precision; the same codes, the same bytes."""
    tensors = {}
    for (name, precision), found in codes.items():
        tensors[f"{name}/{precision}"] = found.codes
        if found.codebook is not None:
            tensors[f"{name}/{precision}/{CODEBOOK}"] = found.codebook
    with atomic_path(path) as beside:
        save_file(tensors, beside)


def load_codes(path: Path, state: Mapping[str, Tensor]) -> dict[tuple[str, str], Codes]:
    """What `save_codes` wrote; the tensors themselves say their shapes."""
    tensors = load_file(path)
    found = {}
    for place, codes in tensors.items():
        name, precision, *codebook = place.split("/")
        if not codebook:
            shape = tuple(state[name].shape)
            book = tensors.get(f"{place}/{CODEBOOK}")
            found[name, precision] = Codes(precision, shape, codes, book)
    return found
