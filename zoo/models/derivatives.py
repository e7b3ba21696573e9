"""Directional derivatives that exporters can trace. This module needs torch.

A model whose graphs contain a derivative, such as likelihoods by the probability-flow ODE, calls :func:`jvp` from
here rather than from ``torch.func``: in PyTorch they are the same, but an exporter cannot trace through
``torch.func``, and substitutes its own :data:`method` while it traces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from zoo.models.substitutes import Substitutable
from zoo.overriding import override

#: (function, point, direction) -> (value, derivative)
Method = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], tuple[Tensor, Tensor]]


def jvp(function: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The value of ``function`` at ``point`` and the product of its Jacobian there with ``direction``.

    Args:
        function: one tensor to one tensor, differentiable, without in-place operations.
        point: where to differentiate.
        direction: of the shape of ``point``.

    Returns:
        function(point), and J·direction of the same shape.
    """
    return method.current(function, point, direction)


class differentiable(TorchFunctionMode):  # noqa: N801 - reads as a statement: with differentiable()
    """A block in which results of :func:`jvp` can be differentiated again.

    PyTorch's layer norm treats mean and deviation as constants when its derivative is differentiated, so a gradient
    through a directional derivative is silently wrong (2.13 and before); here it is composed of means.
    """

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.nn.functional.layer_norm, torch.layer_norm):
            return _layer_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: object,
) -> Tensor:
    """As :func:`torch.nn.functional.layer_norm`."""
    axes = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(axes, keepdim=True)
    normal = centred / ((centred * centred).mean(axes, keepdim=True) + eps).sqrt()
    scaled = normal if weight is None else normal * weight
    return scaled if bias is None else scaled + bias


def _forward_mode(function: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    return cast(tuple[Tensor, Tensor], torch.func.jvp(function, (point,), (direction,)))


#: how :func:`jvp` is computed; ``with method(replacement)`` is a block in which it is computed otherwise
method: Substitutable[Method] = Substitutable(_forward_mode)
