"""Calls of a network that several graphs share, which an exporter traces once. This module needs torch.

A diffusion's graphs ``step`` and ``divergence`` differ in what they do around the network, which has nearly all of the
operators. What calls :func:`called` is traced apart, and once: an exporter substitutes its own method, as for
:mod:`zoo.models.derivatives`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar

from torch import Tensor, nn

#: (module, inputs, shape of the output without its first axis) -> the output
Method = Callable[[nn.Module, tuple[Tensor | None, ...], tuple[int, ...]], Tensor]


def called(module: nn.Module, inputs: Sequence[Tensor | None], event: Sequence[int]) -> Tensor:
    """The output of a module.

    Args:
        module: a function of its inputs.
        inputs: in order, each ``[n, ...]``, or None where it takes nothing.
        event: what an exporter may take for the shape of the output, ``[n, *event]``, before it has seen one.
    """
    if (replacement := _method.get()) is not None:
        return replacement(module, tuple(inputs), tuple(event))
    output: Tensor = module(*inputs)
    return output


@contextlib.contextmanager
def method(replacement: Method) -> Iterator[None]:
    """A block in which :func:`called` is done by ``replacement``."""
    token = _method.set(replacement)
    try:
        yield
    finally:
        _method.reset(token)


_method: ContextVar[Method | None] = ContextVar("method", default=None)
