"""Foreign networks in float64, though their code says float32.

A proof calls a model in float64 too. Many networks embed the time by ``t.float()``, by a table of frequencies that is
no buffer, or by whole numbers divided by others, which PyTorch computes in its default type: float32 then meets weights
in float64, and a linear layer refuses that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from zoo.overriding import override


class Widened(TorchFunctionMode):
    """A block in which whatever PyTorch computes in float32 is computed in float64."""

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.float:
            func = Tensor.double
        # what is written into stays itself: no tensor made within the block is float32
        name = getattr(func, "__name__", "")
        kept = 1 if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")) else 0
        widened = (*args[:kept], *(_widened(each) for each in args[kept:]))
        return func(*widened, **{key: each if key == "out" else _widened(each) for key, each in (kwargs or {}).items()})


def _widened(value: Any) -> Any:
    """An argument, with float64 in place of float32."""
    if value is torch.float32:
        return torch.float64
    if type(value) in (list, tuple):
        return type(value)(_widened(each) for each in value)
    return value.double() if isinstance(value, Tensor) and value.dtype == torch.float32 else value
