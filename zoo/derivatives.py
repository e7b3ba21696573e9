"""Directional derivatives that exporters can trace. This module needs torch.

A model whose graphs hold a derivative, as likelihoods by the probability-flow ODE do, calls :func:`jvp` from here
rather than from ``torch.func``: in PyTorch they are the same, but an exporter cannot trace through ``torch.func``, and
puts its own method in place while it traces.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import cast

import torch
from torch import Tensor

#: (function, point, direction) -> (value, derivative)
Method = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], tuple[Tensor, Tensor]]


def jvp(function: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The value of ``function`` at ``point`` and the product of its Jacobian there with ``direction``.

    Args:
        function: one tensor to one tensor, differentiable, without in-place operations.
        point: where.
        direction: of the shape of ``point``.

    Returns:
        function(point), and J·direction of the same shape.
    """
    return _method.get()(function, point, direction)


@contextlib.contextmanager
def method(replacement: Method) -> Iterator[None]:
    """Within the block :func:`jvp` is computed by ``replacement``."""
    token = _method.set(replacement)
    try:
        yield
    finally:
        _method.reset(token)


def _forward_mode(function: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    return cast(tuple[Tensor, Tensor], torch.func.jvp(function, (point,), (direction,)))


_method: ContextVar[Method] = ContextVar("method", default=_forward_mode)
