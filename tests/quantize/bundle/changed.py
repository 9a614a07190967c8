"""Bundles that were changed behind the writer's back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from quantize import Bundle, BundleError, BundleMember, write_bundle
from quantize.bundle.container import read_container, write_container
from records import Schema

Change = Callable[[dict[str, Any]], None]
# Two tensors of the perceptron of `make_member`: one of codes, and one that is too small for them.
CODES = "one/hidden.0.layers.0.weight/uniform8"
BIAS = "one/hidden.0.layers.0.bias"


def rewritten(
    tmp_path: Path,
    schema: Schema,
    members: list[BundleMember],
    document: Change | None = None,
    tensors: Callable[[dict[str, Tensor]], None] | None = None,
) -> Path:
    """A bundle with another metadata or other tensors."""
    path = tmp_path / "bundle"
    weighted = [dataclasses.replace(member, weight=1 / len(members)) for member in members]
    write_bundle(path, schema, weighted, {"gap": 0.5})
    container = read_container(path)
    values = json.loads(container.metadata["onegig"])
    if document is not None:
        document(values)
    held = {name: tensor.clone() for name, tensor in container.tensors.items()}
    if tensors is not None:
        tensors(held)
    write_container(path, {"onegig": json.dumps(values)}, held)
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        Bundle.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800
    assert str(caught.value).startswith(str(path))
