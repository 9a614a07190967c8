"""Models without memory: they have names and shapes, and no values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_NORMAL = (nn.init.normal_, Tensor.normal_)


@contextmanager
def without_memory() -> Iterator[None]:
    """Within it, what is built lies on the meta device: the largest model takes milliseconds."""
    with torch.device("meta"), _NothingDrawn():
        yield


class _NothingDrawn(TorchFunctionMode):
    """Leaves out draws of normal numbers, for which torch would import its compiler: a second."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function in _NORMAL:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)
